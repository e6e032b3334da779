//! How many documents and connections fit into the open files that the system allows.

use super::options::Connections;
use crate::state::files::allow_open_files;
use crate::text::counted;

/// Open files of a document that docfetch transfers: partial, sidecar, folder, a connection to the API, a
/// lock and a record.
const FILES_PER_TRANSFER: usize = 8;
/// Open files of a document that waits for its turn: a connection to the API, a lock and a record.
const FILES_PER_PREFETCH: usize = 3;
/// Open files of the process, with idle connections.
const FILES_OF_PROCESS: usize = 96;

/// How many documents and connections docfetch uses at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Concurrency {
    /// Documents that are transferred at the same time.
    pub jobs: usize,
    /// Connections of each of these documents.
    pub connections: Connections,
    /// Whether docfetch requests what is free for the next documents meanwhile.
    pub prefetch: bool,
}

impl Concurrency {
    /// At most `jobs` documents with these `connections`, and no more than the system allows open files for.
    pub(super) fn within_open_files(jobs: usize, connections: Connections) -> Self {
        let prefetches = if jobs > 1 { jobs } else { 0 };
        let wanted = FILES_OF_PROCESS
            + jobs * (FILES_PER_TRANSFER + connections.at_least())
            + prefetches * FILES_PER_PREFETCH;
        let allowed = allow_open_files(wanted);
        if allowed >= wanted {
            return Self {
                jobs,
                connections,
                prefetch: prefetches > 0,
            };
        }
        let reduced = Self::reduced(allowed, jobs, connections);
        log::info!(
            "the system allows {}: docfetch fetches {} at a time",
            counted(allowed, "open file"),
            counted(reduced.jobs, "document")
        );
        reduced
    }

    fn reduced(allowed: usize, jobs: usize, connections: Connections) -> Self {
        let of_process = FILES_OF_PROCESS.min(allowed / 2);
        let rest = allowed - of_process;
        let connections = match connections {
            Connections::Auto if of_process < FILES_OF_PROCESS => Connections::Exactly(1),
            Connections::Auto => Connections::Auto,
            Connections::Exactly(wanted) => {
                let most = rest.saturating_sub(FILES_PER_TRANSFER).max(1);
                Connections::Exactly(wanted.min(most))
            }
        };
        let per_document = FILES_PER_TRANSFER + connections.at_least();
        Self {
            jobs: (rest / per_document).clamp(1, jobs),
            connections,
            prefetch: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_open_files_are_shared_by_few_documents() {
        use Connections::{Auto, Exactly};
        for (allowed, jobs, connections, expected) in [
            (1024, 256, Auto, (103, Auto)),
            (1024, 4, Exactly(32), (4, Exactly(32))),
            (32, 64, Auto, (1, Exactly(1))),
            (32, 64, Exactly(16), (1, Exactly(8))),
            (8, 64, Auto, (1, Exactly(1))),
        ] {
            let reduced = Concurrency::reduced(allowed, jobs, connections);
            assert_eq!((reduced.jobs, reduced.connections), expected);
            assert!(!reduced.prefetch);
        }
    }
}
