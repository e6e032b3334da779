//! Partials where each process has its own: what a later run takes from earlier ones, and what it leaves alone.

use super::names::{PartialName, shared_path};
use super::others::{Earlier, OtherPartial};
use super::own::{OwnPartial, take_over};
use super::sidecar::Sidecar;
use super::*;
use crate::error::Code;
use crate::fetch::entity::Entity;
use crate::fetch::events::Unwatched;
use crate::state::folder::FolderTraits;
use crate::state::process::ProcessIdentity;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// As many bytes as make a sidecar due.
const BLOCK: usize = 64 << 10;
const DOCUMENT: &str = "0123456789abcdef0123456789abcdef";

/// Makes this process treat the folder as one where a lock may exclude no other process. The folder stays open, so
/// that the system gives its inode number, by which the process knows it, to no other folder.
pub(super) fn without_true_locks(folder: &Path) {
    FolderTraits::of(folder).unwrap().note_refused_lock();
    std::mem::forget(fs::File::open(folder).unwrap());
}

async fn open_with(folder: &Path, resume: bool) -> Partial {
    without_true_locks(folder);
    let opening = Partial::open_own(folder, DOCUMENT, Duration::ZERO, resume);
    let mut partial = opening.await.unwrap();
    partial.resume(&mut Unwatched).await.unwrap();
    partial
}

async fn open(folder: &Path) -> Partial {
    open_with(folder, true).await
}

/// Writes `blocks` blocks of the version `tag`, and keeps them. Returns the path.
async fn kept(folder: &Path, tag: &str, blocks: usize) -> PathBuf {
    let mut partial = open_with(folder, false).await;
    let entity = Entity {
        tag: Some(tag.to_owned()),
        total: Some(4 * BLOCK as u64),
        ..Entity::default()
    };
    partial.begin(entity).unwrap();
    partial.write(&vec![1; blocks * BLOCK]).unwrap();
    let path = partial.path().to_path_buf();
    partial.keep().unwrap();
    path
}

/// Gives a kept partial the name that a process of another machine would give it.
fn as_from_elsewhere(path: &Path, number: u32) -> PathBuf {
    let elsewhere = ProcessIdentity::parse("node7-0123456789abcdef-1-2").unwrap();
    let other = PartialName::own(DOCUMENT, &elsewhere, number).path(path.parent().unwrap());
    fs::rename(path, &other).unwrap();
    fs::rename(path.with_extension("json"), other.with_extension("json")).unwrap();
    other
}

/// Sets the modification time of the partial at `path` and of its sidecar.
fn set_modified(path: &Path, time: SystemTime) {
    for path in [path, &path.with_extension("json")] {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(time).unwrap();
    }
}

fn complete(partial: &mut Partial) {
    let missing = 4 * BLOCK - usize::try_from(partial.position()).unwrap();
    partial.write(&vec![1; missing]).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_bytes_of_another_machines_process_are_copied_and_its_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let other = as_from_elsewhere(&kept(folder.path(), "\"v1\"", 2).await, 0);
    let before = fs::read(&other).unwrap();
    let mut partial = open(folder.path()).await;
    assert_eq!(
        (partial.held(), partial.resumed_from()),
        (2 * BLOCK as u64, 2 * BLOCK as u64)
    );
    assert_eq!(partial.entity().tag.as_deref(), Some("\"v1\""));
    assert_ne!(partial.path(), other);
    complete(&mut partial);
    let target = folder.path().join("a.pdf");
    let end = partial.publish(&target, false, || Ok(())).unwrap();
    assert!(matches!(end, PublishEnd::Published));
    assert_eq!(fs::read(&target).unwrap(), vec![1; 4 * BLOCK]);
    assert_eq!(fs::read(&other).unwrap(), before, "its process may run");
    assert_eq!(names(folder.path()).len(), 3);
    // 10 minutes later, its process counts as gone.
    let long_ago = SystemTime::now() - Duration::from_mins(11);
    set_modified(&other, long_ago);
    open(folder.path()).await.discard_all().unwrap();
    assert_eq!(names(folder.path()), ["a.pdf"]);
}

#[tokio::test]
async fn what_a_run_of_this_machine_left_is_taken_over_and_goes_with_the_publication() {
    let folder = tempfile::tempdir().unwrap();
    let left = kept(folder.path(), "\"v1\"", 3).await;
    let mut partial = open(folder.path()).await;
    assert_eq!(partial.held(), 3 * BLOCK as u64);
    assert!(!left.exists(), "no second copy takes room");
    // Killed here: the sidecar is beside the bytes already.
    assert!(partial.path().with_extension("json").exists());
    complete(&mut partial);
    let end = partial.publish(&folder.path().join("a.pdf"), false, || Ok(()));
    assert!(matches!(end, Ok(PublishEnd::Published)));
    assert_eq!(names(folder.path()), ["a.pdf"]);
}

#[tokio::test]
async fn the_partial_of_an_earlier_version_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let left = kept(folder.path(), "\"v1\"", 1).await;
    let shared = shared_path(folder.path(), DOCUMENT);
    fs::rename(&left, &shared).unwrap();
    fs::rename(left.with_extension("json"), shared.with_extension("json")).unwrap();
    assert_eq!(open(folder.path()).await.held(), BLOCK as u64);
    assert!(shared.exists());
}

#[tokio::test]
async fn bytes_that_changed_are_not_copied_and_the_next_best_partial_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    let small = as_from_elsewhere(&kept(folder.path(), "\"v1\"", 1).await, 0);
    let large = as_from_elsewhere(&kept(folder.path(), "\"v1\"", 2).await, 1);
    assert_eq!(open(folder.path()).await.held(), 2 * BLOCK as u64);
    let mut bytes = fs::read(&large).unwrap();
    bytes.fill(7);
    fs::write(&large, bytes).unwrap();
    assert_eq!(open(folder.path()).await.held(), BLOCK as u64);
    fs::remove_file(&small).unwrap();
    assert_eq!(open(folder.path()).await.held(), 0);
}

#[tokio::test]
async fn a_partial_that_cannot_be_read_any_more_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    as_from_elsewhere(&kept(folder.path(), "\"v1\"", 1).await, 0);
    let large = as_from_elsewhere(&kept(folder.path(), "\"v1\"", 2).await, 1);
    let opening = Partial::open_own(folder.path(), DOCUMENT, Duration::ZERO, true);
    let mut partial = opening.await.unwrap();
    let unreadable = fs::File::options().write(true).open(&large).unwrap();
    partial.earlier[0].source.as_mut().unwrap().file = Arc::new(unreadable);
    partial.resume(&mut Unwatched).await.unwrap();
    assert_eq!(partial.held(), BLOCK as u64);
}

#[tokio::test]
async fn the_version_of_the_latest_partial_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let old = as_from_elsewhere(&kept(folder.path(), "\"v1\"", 3).await, 0);
    let long_ago = SystemTime::now() - Duration::from_mins(1);
    set_modified(&old, long_ago);
    as_from_elsewhere(&kept(folder.path(), "\"v2\"", 1).await, 1);
    let partial = open(folder.path()).await;
    assert_eq!(partial.entity().tag.as_deref(), Some("\"v2\""));
}

#[tokio::test]
async fn a_partial_whose_lock_another_process_holds_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let other = as_from_elsewhere(&kept(folder.path(), "\"v1\"", 1).await, 0);
    let held = fs::File::open(&other).unwrap();
    held.lock().unwrap();
    let busy = Partial::open_own(folder.path(), DOCUMENT, Duration::ZERO, true).await;
    assert_eq!(busy.unwrap_err().code(), Code::Busy);
    let opening = Partial::open_own(folder.path(), DOCUMENT, Duration::from_secs(20), true);
    let publish = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        fs::rename(&other, folder.path().join("a.pdf")).unwrap();
        drop(held);
    };
    let (partial, ()) = tokio::join!(opening, publish);
    let partial = partial.unwrap();
    let published = fs::metadata(folder.path().join("a.pdf")).unwrap();
    let identity = crate::state::files::FileIdentity::of(&published);
    assert!(partial.publication().unwrap().files.contains(&identity));
}

#[tokio::test]
async fn one_process_writes_one_partial_of_a_document_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path()).await;
    first.file().unlock().unwrap(); // as where every process gets every lock
    let second = Partial::open_own(folder.path(), DOCUMENT, Duration::ZERO, true).await;
    assert_eq!(second.unwrap_err().code(), Code::Busy);
    drop(first);
    assert!(names(folder.path()).is_empty(), "it had no sidecar");
}

#[tokio::test]
async fn the_same_bytes_at_the_target_are_the_document_and_other_bytes_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a.pdf");
    for (there, is_same) in [(vec![1; 4 * BLOCK], true), (vec![2; 4 * BLOCK], false)] {
        fs::write(&target, &there).unwrap();
        let path = kept(folder.path(), "\"v1\"", 4).await;
        let end = open(folder.path()).await.publish(&target, false, || Ok(()));
        match end.unwrap() {
            PublishEnd::SameExists(partial) if is_same => partial.discard_all().unwrap(),
            PublishEnd::TargetExists(partial) if !is_same => partial.discard_all().unwrap(),
            end => panic!("{end:?}"),
        }
        assert!(!path.exists());
        assert_eq!(fs::read(&target).unwrap(), there);
    }
    assert_eq!(names(folder.path()), ["a.pdf"]);
}

#[tokio::test]
async fn a_partial_that_another_process_removed_is_published_by_that_process_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a.pdf");
    for is_there in [true, false] {
        kept(folder.path(), "\"v1\"", 4).await;
        let partial = open(folder.path()).await;
        fs::remove_file(partial.path()).unwrap();
        fs::remove_file(partial.path().with_extension("json")).unwrap();
        if is_there {
            fs::write(&target, vec![1; 4 * BLOCK]).unwrap();
        }
        let end = partial.publish(&target, false, || Ok(()));
        assert_eq!(
            matches!(end, Ok(PublishEnd::SameExists(_))),
            is_there,
            "{end:?}"
        );
        assert_eq!(target.exists(), is_there);
        let _ = fs::remove_file(&target);
    }
}

#[tokio::test]
async fn without_resume_only_what_a_process_may_write_stays() {
    let folder = tempfile::tempdir().unwrap();
    let other = as_from_elsewhere(&kept(folder.path(), "\"v1\"", 1).await, 0);
    let left = kept(folder.path(), "\"v1\"", 1).await;
    let victim = folder.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    std::os::unix::fs::symlink(&victim, shared_path(folder.path(), DOCUMENT)).unwrap();
    let planted = PartialName::own(DOCUMENT, ProcessIdentity::own(), u32::MAX).path(folder.path());
    for planting in [false, true] {
        if planting {
            fs::hard_link(&victim, &planted).unwrap();
        }
        let refused = Partial::open_own(folder.path(), DOCUMENT, Duration::ZERO, true).await;
        assert_eq!(refused.unwrap_err().code(), Code::UnsafePartial);
        let partial = open_with(folder.path(), false).await;
        assert_eq!(partial.held(), 0);
        assert!(!left.exists() && other.exists());
        assert!(fs::symlink_metadata(shared_path(folder.path(), DOCUMENT)).is_err());
        assert!(!planted.exists());
    }
    assert_eq!(fs::read(&victim).unwrap(), b"mine");
}

#[tokio::test]
async fn a_panic_keeps_the_bytes_that_a_sidecar_describes() {
    let folder = tempfile::tempdir().unwrap();
    let mut partial = open(folder.path()).await;
    let entity = Entity {
        tag: Some("\"v1\"".to_owned()),
        ..Entity::default()
    };
    partial.begin(entity).unwrap();
    let late = Instant::now() + Duration::from_secs(1);
    partial
        .write_with_clock(0, &vec![1; BLOCK], || late)
        .unwrap();
    drop(partial);
    assert_eq!(open(folder.path()).await.held(), BLOCK as u64);
}

/// A partial that this process keeps, where only its own sidecar is written.
async fn kept_by_its_process(folder: &Path) -> OwnPartial {
    let own = OwnPartial::create(folder, DOCUMENT).await.unwrap();
    fs::write(&own.path, own.path.to_str().unwrap()).unwrap();
    fs::write(own.path.with_extension("json"), own.path.to_str().unwrap()).unwrap();
    own
}

#[tokio::test]
async fn partials_that_must_be_found_take_a_free_name_each_and_replace_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = PartialName::findable(DOCUMENT)
        .map(|name| name.path(folder.path()))
        .collect();
    // Another process has created the sidecar, and not yet moved its partial; another one left a partial alone.
    fs::write(paths[0].with_extension("json"), "another's").unwrap();
    fs::write(&paths[1], "another's").unwrap();
    for path in &paths[2..] {
        let own = kept_by_its_process(folder.path()).await;
        own.take_findable_name().unwrap();
        let text = own.path.to_str().unwrap().as_bytes();
        assert_eq!(fs::read(path).unwrap(), text);
        assert_eq!(fs::read(path.with_extension("json")).unwrap(), text);
    }
    assert_eq!(names(folder.path()).len(), 2 + 2 * (paths.len() - 2));
    let own = kept_by_its_process(folder.path()).await;
    let error = own.take_findable_name().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    let path = own.path.clone();
    drop(own);
    assert!(path.exists() && path.with_extension("json").exists());
}

#[tokio::test]
async fn a_partial_that_cannot_take_another_name_keeps_its_sidecar() {
    let folder = tempfile::tempdir().unwrap();
    let own = kept_by_its_process(folder.path()).await;
    let away = folder.path().join("away");
    fs::rename(&own.path, &away).unwrap(); // the second rename fails
    own.take_findable_name().unwrap_err();
    fs::rename(&away, &own.path).unwrap();
    let path = own.path.clone();
    drop(own);
    let sidecar = path.with_extension("json");
    assert!(path.exists() && sidecar.exists());
    assert_eq!(names(folder.path()).len(), 2);
}

/// Gives a kept partial the name of one that moved here from another kind of file system.
async fn moved(from: &Path, to: &Path, blocks: usize) -> PathBuf {
    let kept = kept(from, "\"v1\"", blocks).await;
    let path = PartialName::own(DOCUMENT, &ProcessIdentity::of_no_process(), 0).path(to);
    fs::copy(&kept, &path).unwrap();
    fs::copy(kept.with_extension("json"), path.with_extension("json")).unwrap();
    path
}

#[tokio::test]
async fn a_partial_that_moved_is_readable_by_its_user_only() {
    let (odd, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = moved(odd.path(), folder.path(), 1).await;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let opening = Partial::open(folder.path(), DOCUMENT, Duration::ZERO, true);
    let mut partial = opening.await.unwrap();
    partial.resume(&mut Unwatched).await.unwrap();
    assert!(
        partial.held() == BLOCK as u64 && !path.exists(),
        "taken over"
    );
    let mode = fs::metadata(partial.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_partial_that_cannot_be_taken_over_leaves_the_other_sidecar_and_no_lock() {
    let (odd, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = moved(odd.path(), folder.path(), 1).await;
    let sidecar = Sidecar::read(&source.with_extension("json")).unwrap();
    let opened = fs::File::open(&source).unwrap();
    let again = fs::File::open(&source).unwrap();
    fs::remove_file(&source).unwrap(); // the rename fails
    let mut earlier = Earlier {
        sidecar: sidecar.unwrap(),
        modified: SystemTime::now(),
        source: Some(OtherPartial {
            path: source.clone(),
            file: Arc::new(opened),
            is_certainly_left: true,
        }),
    };
    let shared = shared_path(folder.path(), DOCUMENT);
    let path = shared.with_extension("json");
    assert!(take_over(&shared, &mut earlier).is_none());
    assert!(!path.exists(), "there was none before");
    let larger = moved(odd.path(), odd.path(), 2).await;
    fs::copy(larger.with_extension("json"), &path).unwrap();
    assert!(take_over(&shared, &mut earlier).is_none());
    let left = Sidecar::read(&path).unwrap().unwrap();
    assert_eq!(left.noted_bytes(), 2 * BLOCK as u64);
    again.try_lock().unwrap();
}

#[tokio::test]
async fn a_wait_for_two_partials_ends_with_the_timeout_and_leaves_no_empty_file() {
    let (odd, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = moved(odd.path(), folder.path(), 1).await;
    let held = fs::File::open(&source).unwrap();
    held.lock().unwrap();
    let shared = shared_path(folder.path(), DOCUMENT);
    let before = names(folder.path());
    for wait in [Duration::ZERO, Duration::from_millis(1500)] {
        let first = fs::File::create(&shared).unwrap();
        first.lock().unwrap();
        let began = Instant::now();
        let timeout = Duration::from_secs(2);
        let opening = Partial::open(folder.path(), DOCUMENT, timeout, true);
        let release = async {
            tokio::time::sleep(wait).await;
            drop(first);
        };
        let (opened, ()) = tokio::join!(opening, release);
        assert_eq!(opened.unwrap_err().code(), Code::Busy);
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "{:?}",
            began.elapsed()
        );
        assert_eq!(names(folder.path()), before);
    }
}
