//! A panic becomes the error of one document. The batch continues.
//!
//! A panic's message can hold any text, even a secret. So [`silence`] keeps the message from the terminal,
//! and the error names only the place in the source.

use super::{Code, Error, Result};
use futures_util::FutureExt as _;
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind, set_hook};

thread_local! {
    /// The source file, line and column of the last panic in this thread.
    static LOCATION: Cell<Option<String>> = const { Cell::new(None) };
}

/// A caught panic.
#[derive(Debug)]
pub(crate) struct Panic {
    payload: Box<dyn Any + Send>,
    location: Option<String>,
}

impl Panic {
    fn caught(payload: Box<dyn Any + Send>) -> Self {
        let location = LOCATION.take();
        Self { payload, location }
    }

    /// Panics in this thread with the same payload.
    pub(crate) fn resume(self) -> ! {
        LOCATION.set(self.location);
        resume_unwind(self.payload)
    }

    /// An error of code [`Code::Unexpected`] that names the panic's place in the source.
    pub(crate) fn to_error(&self) -> Error {
        let location = self.location.as_deref().unwrap_or("an unknown place");
        Error::new(Code::Unexpected, "docfetch has a bug that ended this")
            .with_cause(format!("a panic at {location}"))
    }
}

/// Makes the process print nothing about panics from now on.
pub(crate) fn silence() {
    set_hook(Box::new(|panic| {
        LOCATION.set(panic.location().map(ToString::to_string));
    }));
}

/// Calls `work`.
///
/// # Errors
/// The panic of `work`.
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    catch_unwind(AssertUnwindSafe(work)).map_err(Panic::caught)
}

/// Polls `work` to its end, and drops it after a panic, too.
///
/// # Errors
/// [`Code::Unexpected`] when `work` panics.
pub(crate) async fn guard<T>(work: impl Future<Output = T>) -> Result<T> {
    let caught = AssertUnwindSafe(work).catch_unwind().await;
    caught.map_err(|payload| Panic::caught(payload).to_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[tokio::test]
    async fn a_panic_after_a_wait_is_an_error() {
        let work = async {
            tokio::task::yield_now().await;
            assert!(std::hint::black_box(false), "a secret");
        };
        let error = guard(work).await.unwrap_err();
        assert_eq!(error.code(), Code::Unexpected);
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn a_panic_resumed_in_another_thread_names_where_it_began() {
        let caught = std::thread::spawn(|| catch(|| panic!("a secret")).err());
        let panic = caught.join().unwrap().unwrap();
        let again = catch(|| panic.resume()).err().unwrap();
        assert_eq!(again.payload.downcast_ref(), Some(&"a secret"));
    }

    /// The test below runs this one in a process of its own, because `silence` holds for a whole process.
    #[test]
    #[ignore = "another test runs it"]
    fn panics_quietly() {
        silence();
        let panic = catch(|| panic!("{}", "a secret")).err().unwrap();
        println!("{}", panic.to_error());
    }

    #[test]
    fn a_panics_message_reaches_no_terminal_but_its_place_does() {
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(["--ignored", "--exact", "--nocapture"]);
        let output = again
            .arg("error::panics::tests::panics_quietly")
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("a panic at src/error/panics.rs:"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
}
