//! See `docfetch::internals::fuzz::headers`.
#![no_main]

use docfetch::internals::fuzz;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    fuzz::headers(input);
    fuzz::forget_secrets();
});
