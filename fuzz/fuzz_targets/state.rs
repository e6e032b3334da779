//! See `docfetch::internals::fuzz::state`.
#![no_main]

use docfetch::internals::fuzz;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    fuzz::state(input);
    fuzz::forget_secrets();
});
