//! A terminal on which the user types ids, or which gets the bytes of a document.

use crate::support::World;
use crate::support::services::Service;
use crate::terminal::{on_a_terminal, on_a_terminal_typing};
use docfetch::sandbox::Document;

const READS_IDS: &str = "docfetch reads ids from standard input, one on each line, until Ctrl-D";
/// What clears a line before a bar is drawn.
const CLEARED: &str = "\u{1b}[2K";

#[test]
fn a_user_who_types_ids_is_told_how_to_end_and_sees_no_bar_there() {
    let (service, _) = Service::with("a.pdf", 1000, &[]);
    let world = service.world();
    let command = world.command(&["sm", "-"]);
    let (code, screen) = on_a_terminal_typing("doc1\n\u{4}", command);
    assert_eq!(code, 0, "{screen}");
    assert_eq!(screen.matches(READS_IDS).count(), 1, "{screen:?}");
    assert!(
        screen.contains("a.pdf") && !screen.contains(CLEARED),
        "{screen:?}"
    );
    for quiet in ["-q", "--progress=json"] {
        let command = world.command(&["sm", "-", "--dry-run", quiet]);
        let (_, screen) = on_a_terminal_typing("doc1\n\u{4}", command);
        assert!(!screen.contains(READS_IDS), "{screen:?}");
    }
    let run = world.run_with_input(&["sm", "-", "--dry-run"], "doc1\n");
    assert!(!run.exits(0).stderr.contains(READS_IDS), "{run:#?}");
}

#[test]
fn a_user_who_types_a_manifest_is_told_how_to_end() {
    let world = World::bare();
    let sums = format!("{}  gone\n\u{4}", "0".repeat(64));
    let (code, screen) = on_a_terminal_typing(&sums, world.command(&["verify", "-"]));
    assert_eq!(code, 6, "{screen}");
    let prompt = "docfetch reads the manifest from standard input, until Ctrl-D";
    assert_eq!(screen.matches(prompt).count(), 1, "{screen:?}");
}

#[test]
fn a_terminal_gets_documents_that_are_text_and_no_others() {
    let text = "the caf\u{e9} is open\n";
    let mut late = vec![b'x'; 300_000];
    late.push(0);
    let documents = [
        Document::new("a.txt", text).with_id("text"),
        Document::new("a.gz", vec![0x1f, 0x8b, 8, 0, 7]).with_id("binary"),
        Document::new("late", late).with_id("late"),
    ];
    let service = Service::start(documents.to_vec(), &[]);
    let world = service.world();
    let (code, screen) = on_a_terminal(world.command(&["sm", "text", "-o", "-"]));
    assert_eq!(code, 0, "{screen}");
    assert!(
        screen.contains("the caf\u{e9} is open\r\n") && !screen.contains(CLEARED),
        "{screen:?}"
    );
    for id in ["binary", "late"] {
        let (code, screen) = on_a_terminal(world.command(&["sm", id, "-o", "-"]));
        assert_eq!(code, 7, "{screen}");
        let refusal = "docfetch does not write a binary document to a terminal";
        assert_eq!(screen.matches(refusal).count(), 1, "{screen:?}");
        assert!(!screen.contains(['\u{8}', '\0']), "{screen:?}");
    }
    // A pipe gets everything.
    let run = world.run(&["sm", "binary", "-o", "-"]);
    assert_eq!(run.exits(0).raw_stdout, [0x1f, 0x8b, 8, 0, 7]);
}

#[test]
fn no_document_is_paid_for_that_would_go_to_a_terminal() {
    let service = Service::start(vec![Document::new("a.txt", "text").with_id("text")], &[]);
    let world = service.world();
    let (code, screen) = on_a_terminal(world.command(&["onecodex", "text", "-o", "-"]));
    assert_eq!(code, 2, "{screen}");
    assert!(
        screen.contains("hint") && screen.contains("-o - > FILE"),
        "{screen:?}"
    );
    assert_eq!(service.charges(), 0);
    let run = world.run(&["onecodex", "text", "-o", "-"]);
    assert_eq!(run.exits(0).stdout, "text");
}
