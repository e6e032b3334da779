//! A panic becomes an error: that of one document, never that of a batch.
//!
//! What a panic says can hold anything, a secret too. So [`be_quiet`] keeps it from the terminal, and an
//! error tells only where in the source it happened.

use super::{Code, Error, Result};
use futures_util::FutureExt as _;
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind, set_hook};

thread_local! {
    /// Where the last panic of this thread happened.
    static PLACE: Cell<Option<String>> = const { Cell::new(None) };
}

/// A panic that was caught.
#[derive(Debug)]
pub(crate) struct Panic {
    payload: Box<dyn Any + Send>,
    place: Option<String>,
}

impl Panic {
    fn caught(payload: Box<dyn Any + Send>) -> Self {
        let place = PLACE.take();
        Self { payload, place }
    }

    /// Goes on with it in this thread.
    pub(crate) fn resume(self) -> ! {
        PLACE.set(self.place);
        resume_unwind(self.payload)
    }

    /// The error that it is.
    pub(crate) fn error(&self) -> Error {
        let place = self.place.as_deref().unwrap_or("an unknown place");
        Error::new(Code::Unexpected, "docfetch has a bug that ended this")
            .why(format!("a panic at {place}"))
    }
}

/// From now on the process prints nothing about a panic.
pub(crate) fn be_quiet() {
    set_hook(Box::new(|panic| {
        PLACE.set(panic.location().map(ToString::to_string));
    }));
}

/// Does `work`.
///
/// # Errors
/// Its panic.
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    catch_unwind(AssertUnwindSafe(work)).map_err(Panic::caught)
}

/// Polls `work` to its end. What it holds is dropped after a panic, as after any other end.
///
/// # Errors
/// [`Code::Unexpected`] for its panic.
pub(crate) async fn guard<T>(work: impl Future<Output = T>) -> Result<T> {
    let caught = AssertUnwindSafe(work).catch_unwind().await;
    caught.map_err(|payload| Panic::caught(payload).error())
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
    fn a_panic_goes_on_in_another_thread_and_says_where_it_began() {
        let caught = std::thread::spawn(|| catch(|| panic!("a secret")).err());
        let panic = caught.join().unwrap().unwrap();
        let again = catch(|| panic.resume()).err().unwrap();
        assert_eq!(again.payload.downcast_ref(), Some(&"a secret"));
    }

    /// Run by the test below in a process of its own: what is quiet is quiet for all of a process.
    #[test]
    #[ignore = "it is run by another test"]
    fn panics_quietly() {
        be_quiet();
        let panic = catch(|| panic!("{}", "a secret")).err().unwrap();
        println!("{}", panic.error());
    }

    #[test]
    fn what_a_panic_says_reaches_no_terminal_but_its_place_does() {
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
