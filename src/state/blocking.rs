//! Blocking work beside the one thread that reads all connections: in another thread, or in line where
//! none can start.
//!
//! The runtime's own pool panics when the system refuses it a thread (`ulimit -u`, `pids.max`), and so do
//! its files, standard streams and name resolution. Here, work waits for no thread: an idle one takes it,
//! else a new one, else the caller does it.

use crate::active_time::excluded_from_stall;
use crate::error::panics::{self, Panic};
use crate::mutex::locked;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::Builder;
use tokio::sync::oneshot;

/// There are never more threads.
const MOST: usize = 256;

type Job = Box<dyn FnOnce() + Send>;

/// The threads, and work that one of them is about to take.
struct Pool {
    jobs: VecDeque<Job>,
    /// Threads that have nothing to do.
    idle: usize,
    threads: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    jobs: VecDeque::new(),
    idle: 0,
    threads: 0,
});
static WORK: Condvar = Condvar::new();

/// Work that was begun.
#[derive(Debug)]
pub(crate) struct Begun<T>(oneshot::Receiver<Result<T, Panic>>);

impl<T> Begun<T> {
    /// Waits for its end. A panic goes on here.
    pub(crate) async fn end(self) -> T {
        match self.0.await {
            Ok(Ok(done)) => done,
            Ok(Err(panic)) => panic.resume(),
            Err(_) => std::future::pending().await, // the process ends
        }
    }
}

/// Begins `work`, which goes on also when nobody waits for its end.
pub(crate) fn begin<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Begun<T> {
    let (sender, receiver) = oneshot::channel();
    let job = Box::new(move || {
        let _ = sender.send(panics::catch(work));
    });
    if let Err(job) = hand_over(job) {
        excluded_from_stall(job);
    }
    Begun(receiver)
}

/// Does `work` to its end.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    begin(work).end().await
}

/// Whether the system lets a thread start now.
pub(crate) fn can_start() -> bool {
    Builder::new().spawn(|| {}).is_ok()
}

/// Gives work to a thread.
///
/// # Errors
/// The work, where there is no thread for it.
fn hand_over(job: Job) -> Result<(), Job> {
    let mut pool = locked(&POOL);
    if pool.idle > 0 {
        pool.idle -= 1;
        pool.jobs.push_back(job);
        WORK.notify_one();
        return Ok(());
    }
    if pool.threads == MOST {
        return Err(job);
    }
    // It takes the lock only after this function.
    if Builder::new().spawn(serve).is_err() {
        return Err(job);
    }
    pool.threads += 1;
    pool.jobs.push_back(job);
    Ok(())
}

/// Does one job after another. There is one for each thread that is not idle.
fn serve() {
    let mut pool = locked(&POOL);
    loop {
        match pool.jobs.pop_front() {
            Some(job) => {
                drop(pool);
                job();
                pool = locked(&POOL);
                pool.idle += 1;
            }
            None => pool = WORK.wait(pool).unwrap_or_else(PoisonError::into_inner),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Duration;

    #[tokio::test]
    async fn work_is_done_beside_and_at_the_same_time() {
        let here = thread::current().id();
        let (one, other) = std::sync::mpsc::channel();
        let first = begin(move || other.recv_timeout(Duration::from_secs(20)).is_ok());
        let second = begin(move || {
            one.send(()).unwrap();
            thread::current().id()
        });
        assert_ne!(second.end().await, here);
        assert!(first.end().await);
    }

    #[tokio::test]
    async fn a_panic_goes_on_in_the_one_who_waits() {
        let failed = panics::guard(run(|| panic!("a secret"))).await.unwrap_err();
        assert_eq!(failed.code(), crate::error::Code::Unexpected);
        assert_eq!(run(|| 7).await, 7);
    }

    #[tokio::test]
    async fn a_thousand_jobs_are_done_by_few_threads() {
        for number in 0..1000 {
            assert_eq!(run(move || number).await, number);
        }
        assert!(locked(&POOL).threads < 100);
    }
}
