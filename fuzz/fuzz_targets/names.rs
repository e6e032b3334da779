//! See `docfetch::internals::fuzz::names`.
#![no_main]

use docfetch::internals::fuzz;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    fuzz::names(input);
    fuzz::forget_secrets();
});
