//! See `docfetch::internals::fuzz::rows`.
#![no_main]

use docfetch::internals::fuzz;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    fuzz::rows(input);
    fuzz::forget_secrets();
});
