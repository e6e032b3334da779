//! Destinations in real folders.

use super::check::Finding;
use super::*;
use crate::error::{Code, Error, Result};
use crate::fetch::entity::Entity;
use crate::fetch::partial::Partial;
use crate::model::DocumentId;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// A folder, and a batch that writes into it.
struct Batch {
    folder: tempfile::TempDir,
    claimed: ClaimedPaths,
}

impl Batch {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            claimed: ClaimedPaths::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn options(&self, if_exists: IfExists) -> TargetOptions {
        TargetOptions {
            file: None,
            folder: self.folder.path().to_path_buf(),
            template: Template::default(),
            if_exists,
        }
    }

    fn destination<'a>(
        &'a self,
        order: u64,
        id: &'a DocumentId,
        options: TargetOptions,
    ) -> Destination<'a> {
        let ticket = self.claimed.ticket(order);
        Destination::new(Arc::new(options), &self.claimed, ticket, "sm", id)
    }

    /// A destination that has the name `a.pdf`.
    async fn named<'a>(&'a self, id: &'a DocumentId, if_exists: IfExists) -> Destination<'a> {
        let mut destination = self.destination(0, id, self.options(if_exists));
        assert!(destination.name_after("a.pdf").await);
        destination
    }

    /// A complete partial with this content.
    async fn partial(&self, content: &str) -> Partial {
        let opening = Partial::open(self.folder.path(), "x", Duration::ZERO, true);
        let mut partial = opening.await.unwrap();
        let entity = Entity {
            tag: Some("\"v1\"".to_owned()),
            total: Some(content.len() as u64),
            ..Entity::default()
        };
        partial.begin(entity).unwrap();
        partial.write(content.as_bytes()).unwrap();
        partial
    }
}

fn id(text: &str) -> DocumentId {
    DocumentId::parse(text, None).unwrap()
}

fn sha256(content: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, content.as_bytes());
    crate::fingerprint::hexadecimal(digest.as_ref())
}

fn file_name(destination: &Destination<'_>) -> String {
    destination.file_name().unwrap()
}

const SAME: IfExists = IfExists::Same { length: None };

/// Of a mirror whose documents must not be fetched only for a comparison.
fn same(length: u64) -> IfExists {
    IfExists::Same {
        length: Some(length),
    }
}

#[tokio::test]
async fn a_free_target_is_writable_whatever_the_options() {
    use IfExists::{Fail, Overwrite, Rename, Skip};
    for if_exists in [Fail, Skip, Overwrite, Rename, SAME, same(3)] {
        let (batch, id) = (Batch::new(), id("7"));
        let mut destination = batch.named(&id, if_exists).await;
        assert_eq!(destination.check().unwrap(), Finding::Free);
        assert_eq!(destination.choose_name().unwrap(), TargetState::Writable);
        assert_eq!(file_name(&destination), "a.pdf");
    }
}

#[tokio::test]
async fn an_existing_file_means_what_the_options_say() {
    use IfExists::{Fail, Overwrite, Rename, Skip};
    let there = TargetState::AlreadyThere;
    for (if_exists, state, name) in [
        (Fail, None, "a.pdf"),
        (Skip, Some(there), "a.pdf"),
        (Overwrite, Some(TargetState::Writable), "a.pdf"),
        (Rename, Some(TargetState::Writable), "a (3).pdf"),
        (SAME, Some(TargetState::Writable), "a.pdf"),
        (same(3), Some(TargetState::AlreadyThere), "a.pdf"),
        (same(4), Some(TargetState::Writable), "a--7.pdf"),
    ] {
        let (batch, id) = (Batch::new(), id("7"));
        batch.write("a.pdf", "old");
        batch.write("a (2).pdf", "old");
        let mut destination = batch.named(&id, if_exists).await;
        let chosen = destination.choose_name();
        let code = chosen.as_ref().err().map(Error::code);
        assert_eq!(code, state.is_none().then_some(Code::TargetExists));
        assert_eq!(chosen.ok(), state, "{if_exists:?}");
        assert_eq!(file_name(&destination), name, "{if_exists:?}");
    }
}

#[tokio::test]
async fn a_check_changes_nothing() {
    for (if_exists, finding) in [
        (IfExists::Rename, Finding::NeedsNumber),
        (same(4), Finding::NeedsId),
    ] {
        let (batch, id) = (Batch::new(), id("7"));
        batch.write("a.pdf", "old");
        let destination = batch.named(&id, if_exists).await;
        for _ in 0..2 {
            assert_eq!(destination.check().unwrap(), finding);
            assert_eq!(file_name(&destination), "a.pdf");
        }
        assert_eq!(fs::read_dir(batch.folder.path()).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn a_number_is_given_once_and_stays_while_it_is_free() {
    let (batch, id) = (Batch::new(), id("7"));
    batch.write("a.pdf", "old");
    let mut destination = batch.named(&id, IfExists::Rename).await;
    for _ in 0..2 {
        assert_eq!(destination.choose_name().unwrap(), TargetState::Writable);
        assert_eq!(file_name(&destination), "a (2).pdf");
    }
    batch.write("a (2).pdf", "new");
    destination.choose_name().unwrap();
    assert_eq!(file_name(&destination), "a (3).pdf", "not a (2) (2)");
}

#[tokio::test]
async fn what_is_no_plain_file_is_never_replaced() {
    let (batch, id) = (Batch::new(), id("7"));
    fs::create_dir(batch.path("a.pdf")).unwrap();
    for if_exists in [IfExists::Fail, IfExists::Skip, IfExists::Overwrite] {
        let mut destination = batch.named(&id, if_exists).await;
        let error = destination.choose_name().unwrap_err();
        assert_eq!(error.code(), Code::TargetExists, "{if_exists:?}");
    }
    for if_exists in [SAME, same(0)] {
        let mut destination = batch.named(&id, if_exists).await;
        destination.choose_name().unwrap();
        assert_eq!(file_name(&destination), "a--7.pdf");
    }
}

#[tokio::test]
async fn a_link_is_replaced_unless_it_leads_to_a_folder() {
    let (batch, id) = (Batch::new(), id("7"));
    symlink("nothing", batch.path("a.pdf")).unwrap();
    let mut destination = batch.named(&id, IfExists::Overwrite).await;
    assert_eq!(destination.choose_name().unwrap(), TargetState::Writable);
    fs::create_dir(batch.path("nothing")).unwrap();
    let error = destination.choose_name().unwrap_err();
    assert_eq!(error.code(), Code::TargetExists);
}

#[tokio::test]
async fn a_path_that_names_a_folder_is_refused() {
    let (batch, id) = (Batch::new(), id("7"));
    for file in ["b/", "..", "/"] {
        let mut options = batch.options(IfExists::Overwrite);
        options.file = Some(file.into());
        let mut destination = batch.destination(0, &id, options);
        let error = destination.choose_name().unwrap_err();
        assert_eq!(error.cause(), Some("it names a folder"), "{file}");
    }
}

#[tokio::test]
async fn the_later_of_two_documents_with_one_name_gets_its_id() {
    let batch = Batch::new();
    let ids = ["1", "2", "2x"].map(id);
    let mut names = Vec::new();
    for (order, id) in (0..).zip(&ids) {
        let mut destination = batch.destination(order, id, batch.options(IfExists::Fail));
        destination.name_after("A.pdf").await;
        names.push(file_name(&destination));
    }
    assert_eq!(names, ["A.pdf", "A--2.pdf", "A--2x.pdf"]);
    // The same document has the same name again.
    let mut again = batch.destination(3, &ids[0], batch.options(IfExists::Fail));
    again.name_after("a.pdf").await;
    assert_eq!(file_name(&again), "a.pdf");
}

#[tokio::test]
async fn ids_that_begin_alike_are_numbered() {
    let batch = Batch::new();
    let long = "0".repeat(70);
    let ids = ["first".to_owned(), format!("{long}1"), format!("{long}2")].map(|text| id(&text));
    let mut names = Vec::new();
    for (order, id) in (0..).zip(&ids) {
        let mut destination = batch.destination(order, id, batch.options(IfExists::Fail));
        destination.name_after("a.pdf").await;
        names.push(file_name(&destination));
    }
    let cut = "0".repeat(64);
    assert_eq!(
        names[1..],
        [format!("a--{cut}.pdf"), format!("a--{cut} (2).pdf")]
    );
}

#[tokio::test(start_paused = true)]
async fn names_are_given_in_the_order_of_the_batch_except_to_one_that_takes_too_long() {
    for (delay, names) in [(4, ["a.pdf", "a--2.pdf"]), (6, ["a--1.pdf", "a.pdf"])] {
        let batch = Batch::new();
        let ids = ["1", "2"].map(id);
        let mut first = batch.destination(0, &ids[0], batch.options(IfExists::Fail));
        let mut second = batch.destination(1, &ids[1], batch.options(IfExists::Fail));
        let slow = async {
            tokio::time::sleep(Duration::from_secs(delay)).await;
            first.name_after("a.pdf").await
        };
        let start = Instant::now();
        let fast = async {
            second.name_after("a.pdf").await;
            start.elapsed().as_secs()
        };
        let (_, waited) = tokio::join!(slow, fast);
        assert_eq!(waited, delay.min(5));
        assert_eq!([&first, &second].map(file_name), names, "{delay} s");
    }
}

#[tokio::test]
async fn a_template_without_the_name_of_the_storage_names_at_once() {
    let (batch, id) = (Batch::new(), id("7"));
    for (template, name) in [("{provider}-{id}", Some("sm-7")), ("{stem}", None)] {
        let mut options = batch.options(IfExists::Fail);
        options.template = Template::parse(template).unwrap();
        let mut destination = batch.destination(0, &id, options);
        destination.name_without_storage().await;
        assert_eq!(destination.file_name().as_deref(), name);
    }
}

#[tokio::test]
async fn metadata_without_a_safe_name_leave_the_target_unnamed() {
    let (batch, id) = (Batch::new(), id("7"));
    let mut destination = batch.destination(0, &id, batch.options(IfExists::Fail));
    for name in [None, Some(""), Some("..")] {
        destination.name_after_metadata(name).await;
        assert_eq!(destination.target(), None, "{name:?}");
        assert_eq!(destination.choose_name().unwrap(), TargetState::Writable);
    }
    destination.name_after_metadata(Some("../b.pdf")).await;
    assert_eq!(destination.target(), Some(&*batch.path("b.pdf")));
    assert!(!destination.name_after("c.pdf").await, "it has a name");
}

#[tokio::test]
async fn a_file_that_another_process_made_of_the_document_is_the_document() {
    let (batch, id) = (Batch::new(), id("7"));
    let first = batch.partial("new").await;
    let path = batch.path("a.pdf");
    let publish = async {
        tokio::task::yield_now().await;
        first.publish(&path, false, || Ok(())).unwrap();
    };
    let busy_timeout = Duration::from_mins(1);
    let waiting = Partial::open(batch.folder.path(), "x", busy_timeout, true);
    let (second, ()) = tokio::join!(waiting, publish);
    let second = second.unwrap();
    for if_exists in [IfExists::Fail, IfExists::Overwrite, IfExists::Rename, SAME] {
        let mut destination = batch.named(&id, if_exists).await;
        destination.adopt_publication(second.publication()).await;
        assert_eq!(
            destination.choose_name().unwrap(),
            TargetState::AlreadyThere
        );
        assert_eq!(file_name(&destination), "a.pdf");
    }
}

#[tokio::test]
async fn two_paths_of_one_file_go_to_two_documents_of_a_batch() {
    let (batch, ids) = (Batch::new(), ["1", "2"].map(id));
    let mut first = batch.named(&ids[0], IfExists::Overwrite).await;
    let partial = batch.partial("one").await;
    first.publish(partial, None, None, false).await.unwrap();
    // As in a file system that takes both names for one.
    symlink(batch.folder.path(), batch.path("alias")).unwrap();
    let mut options = batch.options(IfExists::Overwrite);
    options.folder = batch.path("alias");
    let mut second = batch.destination(1, &ids[1], options);
    second.name_after("a.pdf").await;
    assert_eq!(second.check().unwrap(), Finding::NeedsId);
    let partial = batch.partial("two").await;
    let end = second.publish(partial, None, None, false).await;
    assert!(is_published(&end.unwrap()));
    assert_eq!(file_name(&second), "a--2.pdf");
    assert_eq!(
        (batch.read("a.pdf"), batch.read("a--2.pdf")),
        ("one".into(), "two".into())
    );
}

fn is_published(end: &TargetEnd) -> bool {
    matches!(end, TargetEnd::Published)
}

/// Whether docfetch published onto a file with the content `old`; the file names and contents after that.
async fn published_over_old(
    if_exists: IfExists,
    content: &str,
) -> (Result<bool>, Vec<(String, String)>) {
    let (batch, id) = (Batch::new(), id("7"));
    let mut destination = batch.named(&id, if_exists).await;
    destination.choose_name().unwrap();
    let partial = batch.partial(content).await;
    batch.write("a.pdf", "old"); // since the check
    let sha256 = sha256(content);
    let end = destination
        .publish(partial, Some(&sha256), None, true)
        .await;
    let entries = fs::read_dir(batch.folder.path()).unwrap();
    let mut files: Vec<(String, String)> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .map(|name| (name.clone(), batch.read(&name)))
        .collect();
    files.sort();
    (end.map(|end| is_published(&end)), files)
}

#[tokio::test]
async fn a_file_that_appears_before_the_publication_counts_as_any_other() {
    let old = ("a.pdf", "old");
    for (if_exists, content, is_published, files) in [
        (IfExists::Fail, "new", None, vec![old]),
        (IfExists::Skip, "new", Some(false), vec![old]),
        (
            IfExists::Overwrite,
            "new",
            Some(true),
            vec![("a.pdf", "new")],
        ),
        (
            IfExists::Rename,
            "new",
            Some(true),
            vec![("a (2).pdf", "new"), old],
        ),
        (SAME, "old", Some(false), vec![old]),
        (SAME, "new", Some(true), vec![("a--7.pdf", "new"), old]),
        (same(3), "new", Some(true), vec![("a--7.pdf", "new"), old]),
    ] {
        let (found, found_files) = published_over_old(if_exists, content).await;
        assert_eq!(found.ok(), is_published, "{if_exists:?} {content}");
        let files = files
            .iter()
            .map(|(name, text)| ((*name).into(), (*text).into()));
        assert_eq!(found_files, files.collect::<Vec<_>>(), "{if_exists:?}");
    }
}

#[tokio::test]
async fn the_hook_sees_each_target_and_its_error_keeps_the_partial() {
    let (batch, id) = (Batch::new(), id("7"));
    batch.write("a.pdf", "old");
    let mut destination = batch.named(&id, SAME).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let hook: BeforePublish = Arc::new(move |target: &Path| {
        log.lock().unwrap().push(target.to_path_buf());
        Ok(())
    });
    let partial = batch.partial("new").await;
    let sha256 = sha256("new");
    let end = destination.publish(partial, Some(&sha256), Some(&hook), false);
    assert!(is_published(&end.await.unwrap()));
    assert_eq!(
        *seen.lock().unwrap(),
        ["a.pdf", "a--7.pdf"].map(|name| batch.path(name))
    );

    let mut destination = batch.named(&id, SAME).await;
    let hook: BeforePublish = Arc::new(|_| Err(Error::new(Code::DiskFull, "no room")));
    let partial = batch.partial("newer").await;
    let end = destination.publish(partial, None, Some(&hook), false).await;
    assert_eq!(end.unwrap_err().code(), Code::DiskFull);
    assert!(Partial::exists(batch.folder.path(), "x"));
}

#[tokio::test]
async fn a_disk_without_room_is_found_out_before_the_transfer() {
    let (batch, id) = (Batch::new(), id("7"));
    let destination = batch.named(&id, IfExists::Fail).await;
    destination.check_free_space(1).unwrap();
    let error = destination.check_free_space(u64::MAX).unwrap_err();
    assert_eq!(error.code(), Code::DiskFull);
    // A quota on a disk that has room, and other errors, stay as they are.
    for (code, missing, is_told) in [
        (Code::DiskFull, u64::MAX, true),
        (Code::DiskFull, 1, false),
        (Code::LocalIo, u64::MAX, false),
    ] {
        let told = destination.with_free_space(Error::new(code, "x"), missing);
        assert_eq!(told.cause().is_some(), is_told, "{code:?} {missing}");
    }
}
