//! See `docfetch::internals::fuzz::answers`.
#![no_main]

use docfetch::internals::fuzz;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    fuzz::answers(input);
    fuzz::forget_secrets();
});
