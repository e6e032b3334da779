//! The document that a task of a batch works on, so that a warning can name that document.

use std::fmt;
use std::sync::Arc;

tokio::task_local! {
    /// The id of the document; none in a run of one document.
    static CURRENT: Option<Arc<str>>;
}

/// The id of the document that the present task works on; none outside of a batch.
pub(crate) fn get() -> Option<Arc<str>> {
    CURRENT.try_with(Clone::clone).ok().flatten()
}

/// Does `work`, which belongs to the document `id`.
pub(crate) async fn scope<T>(id: Option<Arc<str>>, work: impl Future<Output = T>) -> T {
    CURRENT.scope(id, work).await
}

/// Does `work`, which belongs to the document `id`, on a thread of its own.
pub(crate) fn scope_of_thread<T>(id: Option<Arc<str>>, work: impl FnOnce() -> T) -> T {
    CURRENT.sync_scope(id, work)
}

/// Logs a warning about the present document. In a batch, the id of the document stands before the text.
pub(crate) fn warn(text: fmt::Arguments<'_>) {
    match get() {
        Some(id) => log::warn!("{id}: {text}"),
        None => log::warn!("{text}"),
    }
}

/// Calls [`warn`](crate::current_document::warn) with a formatted text.
macro_rules! warn_of_document {
    ($($text:tt)+) => { $crate::current_document::warn(format_args!($($text)+)) };
}
pub(crate) use warn_of_document;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_task_has_its_own_document() {
        let work = |own: &str| {
            let expected = Some(Arc::from(own));
            scope(expected.clone(), async move {
                for _ in 0..3 {
                    assert_eq!(get(), expected);
                    tokio::task::yield_now().await;
                }
                let here = get();
                let on_thread = std::thread::spawn(|| scope_of_thread(here, get));
                assert_eq!(on_thread.join().unwrap(), expected);
            })
        };
        tokio::join!(work("a"), work("b"));
        assert_eq!(get(), None);
    }
}
