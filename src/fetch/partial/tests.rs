//! Partials on a real disk, with a clock that the tests set.

use super::*;
use crate::error::{Code, Error};
use crate::fetch::entity::Entity;
use crate::fetch::events::Unwatched;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// As many bytes as make a sidecar due.
const BLOCK: usize = 64 << 10;

fn entity(tag: &str) -> Entity {
    Entity {
        tag: Some(tag.to_owned()),
        total: Some(4 * BLOCK as u64),
        ..Entity::default()
    }
}

async fn open(folder: &Path) -> Partial {
    let mut partial = Partial::open(folder, "x", Duration::ZERO, true)
        .await
        .unwrap();
    partial.resume(&mut Unwatched).await.unwrap();
    partial
}

/// A partial with one block, and a sidecar that describes it.
async fn begun(folder: &Path) -> Partial {
    let mut partial = open(folder).await;
    partial.begin(entity("\"v1\"")).unwrap();
    let late = Instant::now() + Duration::from_secs(1);
    partial
        .write_with_clock(0, &vec![1; BLOCK], || late)
        .unwrap();
    partial
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into())
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_later_run_resumes_the_bytes_that_the_sidecar_describes() {
    let folder = tempfile::tempdir().unwrap();
    let mut partial = begun(folder.path()).await;
    // Too soon for another version of the sidecar: a kill loses these bytes.
    let (at, soon) = (BLOCK as u64, Instant::now());
    partial
        .write_with_clock(at, &vec![2; BLOCK], || soon)
        .unwrap();
    assert_eq!(partial.held(), 2 * at);
    drop(partial); // as a kill does
    let partial = open(folder.path()).await;
    assert_eq!((partial.held(), partial.resumed_from()), (at, at));
    assert_eq!(partial.entity(), &entity("\"v1\""));
    assert_eq!(partial.file().metadata().unwrap().len(), at);
}

#[tokio::test]
async fn bytes_that_changed_are_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let path = begun(folder.path()).await.path().to_path_buf();
    let mut bytes = fs::read(&path).unwrap();
    bytes[7] ^= 1;
    fs::write(&path, bytes).unwrap();
    let partial = open(folder.path()).await;
    assert_eq!((partial.held(), partial.resumed_from()), (0, 0));
    assert_eq!(partial.entity(), &Entity::default());
}

#[tokio::test]
async fn a_kept_partial_is_whole_up_to_its_last_byte() {
    let folder = tempfile::tempdir().unwrap();
    let mut partial = begun(folder.path()).await;
    partial.write(b"more").unwrap();
    partial.keep().unwrap();
    let partial = open(folder.path()).await;
    assert_eq!(partial.held(), BLOCK as u64 + 4);
    assert_eq!(partial.first_bytes(2).unwrap(), [1, 1]);
}

#[tokio::test]
async fn a_partial_that_was_not_resumed_is_kept_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    begun(folder.path()).await.keep().unwrap();
    let partial = Partial::open(folder.path(), "x", Duration::ZERO, true).await;
    partial.unwrap().keep().unwrap();
    assert_eq!(open(folder.path()).await.held(), BLOCK as u64);
}

#[tokio::test]
async fn without_a_strong_entity_tag_nothing_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    for tag in ["W/\"v1\"", ""] {
        let mut partial = open(folder.path()).await;
        partial.begin(entity(tag)).unwrap();
        let late = Instant::now() + Duration::from_secs(1);
        partial
            .write_with_clock(0, &vec![1; BLOCK], || late)
            .unwrap();
        assert_eq!(files(folder.path()).len(), 1, "{tag}: no sidecar");
        partial.keep().unwrap();
        assert!(!Partial::exists(folder.path(), "x"), "{tag}");
    }
}

#[tokio::test]
async fn without_resume_the_bytes_are_discarded() {
    let folder = tempfile::tempdir().unwrap();
    begun(folder.path()).await.keep().unwrap();
    let partial = Partial::open(folder.path(), "x", Duration::ZERO, false).await;
    let mut partial = partial.unwrap();
    partial.resume(&mut Unwatched).await.unwrap();
    assert_eq!(partial.held(), 0);
    assert_eq!(files(folder.path()).len(), 1, "no sidecar");
    assert_eq!(partial.file().metadata().unwrap().len(), 0);
}

#[tokio::test]
async fn a_restarted_partial_is_empty_and_belongs_to_no_entity() {
    let folder = tempfile::tempdir().unwrap();
    let mut partial = begun(folder.path()).await;
    partial.restart().unwrap();
    assert_eq!((partial.held(), partial.entity()), (0, &Entity::default()));
    assert_eq!(files(folder.path()).len(), 1, "no sidecar");
}

#[tokio::test]
async fn a_refused_document_stays_refused_while_it_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let refused = RefusedDocument {
        sha256: "ab".to_owned(),
        name: "a.pdf".to_owned(),
    };
    let mut partial = begun(folder.path()).await;
    partial.sync().unwrap(); // the rest has a CRC of its own
    partial.write(b"rest").unwrap();
    partial.refuse(refused.clone());
    assert!(!partial.is_complete());
    partial.keep().unwrap();
    let partial = open(folder.path()).await;
    assert_eq!(partial.refused(), Some(&refused));
    assert_eq!(partial.entity().total, Some(BLOCK as u64 + 4));
    let path = partial.path().to_path_buf();
    drop(partial);
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(BLOCK as u64 + 3).unwrap();
    let partial = open(folder.path()).await;
    assert_eq!((partial.refused(), partial.held()), (None, 0));
}

#[tokio::test]
async fn a_published_partial_leaves_the_target_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a.pdf");
    let partial = begun(folder.path()).await;
    let identity = partial.identity();
    let mut was_called = false;
    let end = partial.publish(&target, false, || {
        was_called = !target.exists();
        Ok(())
    });
    assert!(matches!(end, Ok(PublishEnd::Published)));
    assert!(was_called, "before the target is there");
    assert_eq!(files(folder.path()), [Path::new("a.pdf")]);
    assert_eq!(fs::read(&target).unwrap(), vec![1; BLOCK]);
    let metadata = fs::metadata(&target).unwrap();
    assert_ne!(metadata.permissions().mode() & 0o777, 0);
    let published = crate::state::files::FileIdentity::of(&metadata);
    assert_eq!(identity, Some(published));
}

#[tokio::test]
async fn a_target_that_exists_is_replaced_only_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a.pdf");
    fs::write(&target, "old").unwrap();
    let partial = begun(folder.path()).await;
    let end = partial.publish(&target, false, || Ok(())).unwrap();
    let PublishEnd::TargetExists(partial) = end else {
        panic!("{end:?}");
    };
    assert_eq!(fs::read(&target).unwrap(), b"old");
    assert_eq!(partial.held(), BLOCK as u64);
    let mode = partial.file().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let end = partial.publish(&target, true, || Ok(())).unwrap();
    assert!(matches!(end, PublishEnd::Published));
    assert_eq!(fs::read(&target).unwrap(), vec![1; BLOCK]);
}

#[tokio::test]
async fn a_failure_before_the_rename_keeps_the_partial() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a.pdf");
    let partial = begun(folder.path()).await;
    let failed = || Err(Error::new(Code::LocalIo, "no line in the manifest"));
    let error = partial.publish(&target, false, failed).unwrap_err();
    assert_eq!(error.what(), "no line in the manifest");
    assert!(!target.exists());
    assert_eq!(open(folder.path()).await.held(), BLOCK as u64);
}

#[tokio::test]
async fn a_partial_that_was_taken_away_is_not_published() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a.pdf");
    let partial = begun(folder.path()).await;
    let path = partial.path().to_path_buf();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "another process's").unwrap();
    let error = partial.publish(&target, false, || Ok(())).unwrap_err();
    assert_eq!(error.code(), Code::LocalIo);
    assert!(!target.exists());
    assert_eq!(fs::read(&path).unwrap(), b"another process's");
}

#[tokio::test]
async fn one_process_at_a_time_holds_a_partial() {
    let folder = tempfile::tempdir().unwrap();
    let first = begun(folder.path()).await;
    let busy = Partial::open(folder.path(), "x", Duration::ZERO, true).await;
    assert_eq!(busy.unwrap_err().code(), Code::Busy);
    drop(first);
    assert_eq!(open(folder.path()).await.held(), BLOCK as u64);
}

#[tokio::test]
async fn a_process_that_waited_learns_what_the_other_one_published() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a.pdf");
    let first = begun(folder.path()).await;
    let identity = first.identity();
    let publish = async {
        tokio::task::yield_now().await; // the other one finds the lock held
        first.publish(&target, false, || Ok(())).unwrap();
    };
    let busy_timeout = Duration::from_mins(1);
    let waiting = Partial::open(folder.path(), "x", busy_timeout, true);
    let (second, ()) = tokio::join!(waiting, publish);
    let second = second.unwrap();
    let publication = second.publication().unwrap();
    assert_eq!(publication.files, Vec::from_iter(identity));
    assert!(!publication.is_finished());
    assert_eq!(second.held(), 0);
}

#[tokio::test]
async fn bytes_behind_a_hole_count_until_they_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let mut partial = begun(folder.path()).await;
    let at = BLOCK as u64;
    partial.write_at(2 * at, &vec![3; BLOCK]).unwrap();
    assert_eq!((partial.position(), partial.held()), (at, 2 * at));
    assert_eq!(partial.next_hole(), Some(at..2 * at));
    assert_eq!(partial.holes(4 * at), [at..2 * at, 3 * at..4 * at]);
    partial.forget_behind_holes();
    assert_eq!((partial.held(), partial.next_hole()), (at, None));
}

#[tokio::test]
async fn a_link_at_the_partials_path_is_refused_or_removed() {
    let folder = tempfile::tempdir().unwrap();
    let victim = folder.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    std::os::unix::fs::symlink(&victim, folder.path().join(".docfetch-x.part")).unwrap();
    let refused = Partial::open(folder.path(), "x", Duration::ZERO, true).await;
    assert_eq!(refused.unwrap_err().code(), Code::UnsafePartial);
    let partial = Partial::open(folder.path(), "x", Duration::ZERO, false).await;
    partial.unwrap().discard().unwrap();
    assert_eq!(fs::read(victim).unwrap(), b"mine");
}
