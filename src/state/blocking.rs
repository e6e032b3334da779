//! Threads for blocking work, so that the thread that reads all connections does not block.
//!
//! tokio's own pool panics when the system refuses a new thread (`ulimit -u`, `pids.max`), and so do tokio's
//! files, standard streams and name resolution. In this pool, work does not wait for a thread: an idle thread
//! takes it, else a new one, else the caller does the work itself.

use crate::active_time::excluded_from_stall;
use crate::current_document;
use crate::error::panics::{self, Panic};
use crate::mutex::locked;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::Builder;
use tokio::sync::oneshot;

/// The largest number of threads.
const MAX_THREADS: usize = 256;

type Task = Box<dyn FnOnce() + Send>;

/// The threads, and the tasks that an idle thread is about to take.
struct Pool {
    tasks: VecDeque<Task>,
    /// Threads without a task.
    idle: usize,
    threads: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    tasks: VecDeque::new(),
    idle: 0,
    threads: 0,
});
/// Signals that there is a new task.
static NEW_TASK: Condvar = Condvar::new();

/// Blocking work that has started.
#[derive(Debug)]
pub(crate) struct BlockingTask<T>(oneshot::Receiver<Result<T, Panic>>);

impl<T> BlockingTask<T> {
    /// Waits for the end of the work. A panic of the work continues in the caller.
    pub(crate) async fn join(self) -> T {
        match self.0.await {
            Ok(Ok(done)) => done,
            Ok(Err(panic)) => panic.resume(),
            // The thread ends without a result only when the process ends.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Starts `work`. The work runs to its end even if the task is dropped.
pub(crate) fn spawn<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> BlockingTask<T> {
    let (sender, receiver) = oneshot::channel();
    let document = current_document::get();
    let task = Box::new(move || {
        let work = || current_document::scope_of_thread(document, work);
        let _ = sender.send(panics::catch(work));
    });
    if let Err(task) = hand_over(task) {
        excluded_from_stall(task);
    }
    BlockingTask(receiver)
}

/// Runs `work` and waits for its end.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn(work).join().await
}

/// Whether the system allows a new thread now.
pub(crate) fn can_start_thread() -> bool {
    Builder::new().spawn(|| {}).is_ok()
}

/// Passes a task to a thread.
///
/// # Errors
/// The task itself, when there is no thread for it.
fn hand_over(task: Task) -> Result<(), Task> {
    let mut pool = locked(&POOL);
    if pool.idle > 0 {
        pool.idle -= 1;
        pool.tasks.push_back(task);
        NEW_TASK.notify_one();
        return Ok(());
    }
    if pool.threads == MAX_THREADS {
        return Err(task);
    }
    // The new thread gets the lock of the pool after this function.
    if Builder::new().spawn(run_tasks).is_err() {
        return Err(task);
    }
    pool.threads += 1;
    pool.tasks.push_back(task);
    Ok(())
}

/// Runs one task after another in a thread of the pool.
fn run_tasks() {
    let mut pool = locked(&POOL);
    loop {
        match pool.tasks.pop_front() {
            Some(task) => {
                drop(pool);
                task();
                pool = locked(&POOL);
                pool.idle += 1;
            }
            None => pool = NEW_TASK.wait(pool).unwrap_or_else(PoisonError::into_inner),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Duration;

    #[tokio::test]
    async fn work_runs_in_other_threads_and_at_the_same_time() {
        let here = thread::current().id();
        let (one, other) = std::sync::mpsc::channel();
        let first = spawn(move || other.recv_timeout(Duration::from_secs(20)).is_ok());
        let second = spawn(move || {
            one.send(()).unwrap();
            thread::current().id()
        });
        assert_ne!(second.join().await, here);
        assert!(first.join().await);
    }

    #[tokio::test]
    async fn a_panic_continues_in_the_task_that_waits() {
        let failed = panics::guard(run(|| panic!("a secret"))).await.unwrap_err();
        assert_eq!(failed.code(), crate::error::Code::Unexpected);
        assert_eq!(run(|| 7).await, 7);
    }

    #[tokio::test]
    async fn a_thousand_tasks_need_few_threads() {
        for number in 0..1000 {
            assert_eq!(run(move || number).await, number);
        }
        assert!(locked(&POOL).threads < 100);
    }
}
