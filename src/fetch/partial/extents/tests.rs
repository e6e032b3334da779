use super::*;
use proptest::prelude::*;

const LENGTH: usize = 40;

fn bytes(range: Range<u64>) -> Range<usize> {
    usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Write(usize, usize),
    BeginSync,
    EndSync,
    Truncate(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..LENGTH, 1usize..9).prop_map(|(at, length)| Step::Write(at, length)),
        1 => Just(Step::BeginSync),
        1 => Just(Step::EndSync),
        1 => (0..LENGTH).prop_map(Step::Truncate),
    ]
}

proptest! {
    /// In any order of writes and syncs: the extents hold only bytes that were written, and the notes
    /// restore the same extents.
    #[test]
    fn the_notes_describe_the_bytes_that_were_written(steps in prop::collection::vec(step(), 1..40)) {
        let mut file = [0u8; LENGTH + 9];
        let mut extents = Extents::default();
        let mut syncing: Option<[u8; LENGTH + 9]> = None;
        let mut disk = file;
        for (number, step) in (1u8..).zip(steps) {
            match step {
                Step::Write(at, length) => {
                    if !extents.holes(100).iter().any(|hole| hole.contains(&(at as u64))) {
                        continue;
                    }
                    let bytes = vec![number; length];
                    file[at..at + length].copy_from_slice(&bytes);
                    extents.add(at as u64, &bytes);
                }
                Step::BeginSync if syncing.is_none() => {
                    extents.begin_sync();
                    syncing = Some(file);
                }
                Step::EndSync => if let Some(then) = syncing.take() {
                    extents.end_sync();
                    disk = then;
                }
                Step::Truncate(length) if syncing.is_none() => {
                    extents.begin_sync();
                    extents.end_sync();
                    disk = file;
                    let crc_of = |range: Range<u64>| {
                        let mut crc = new_crc();
                        crc.update(&file[bytes(range)]);
                        Ok::<_, ()>(crc.finalize())
                    };
                    extents.truncate(length as u64, crc_of).unwrap();
                }
                _ => {}
            }
            let noted = extents.notes();
            let mut last = 0;
            for extent in &noted {
                prop_assert!(extent.is_consistent() && extent.start >= last && extent.end() > extent.start);
                last = extent.end();
                for at in bytes(extent.start..extent.synced) {
                    // It may have been written over since: then the newer CRC tells.
                    prop_assert!(disk[at] != 0);
                }
                for at in bytes(extent.start..extent.end()) {
                    prop_assert!(file[at] != 0, "{at} was never written: {extents:?}");
                }
            }
            let read_crc = |range, noted: Option<&str>| {
                let mut crc = new_crc();
                crc.update(&file[bytes(range)]);
                (noted == Some(&crc_text(crc.finalize()))).then_some(crc)
            };
            let restored = Extents::restore(noted, read_crc);
            prop_assert_eq!(restored.held(), extents.held(), "{:?} {:?}", restored, extents);
            prop_assert_eq!(restored.prefix(), extents.prefix());
            let holes: u64 = extents.holes(100).iter().map(|hole| hole.end - hole.start).sum();
            prop_assert_eq!(holes + extents.held(), 100);
        }
    }
}

#[test]
fn neighbours_become_one_however_much_of_them_is_synced() {
    let mut extents = Extents::default();
    extents.add(4, b"efgh");
    extents.add(0, b"abcd");
    assert_eq!(extents.notes().len(), 1);
    extents.begin_sync();
    extents.add(8, b"ijkl");
    extents.add(16, b"qr");
    extents.end_sync();
    extents.add(12, b"mnop");
    assert_eq!((extents.prefix(), extents.notes().len()), (18, 1));
}

/// 40 bytes that were synced and written in several places, and the notes of them.
fn noted() -> (Vec<ExtentNote>, Vec<u8>) {
    let file: Vec<u8> = (1..=40).collect();
    let mut extents = Extents::default();
    for at in [0, 20, 4, 24, 8, 28, 12] {
        extents.add(at as u64, &file[at..at + 4]);
        extents.begin_sync();
        extents.end_sync();
    }
    extents.add(32, &file[32..36]);
    extents.begin_sync();
    extents.add(36, &file[36..]);
    (extents.notes(), file)
}

fn restored(noted: &[ExtentNote], file: &[u8]) -> Extents {
    Extents::restore(noted.to_vec(), |range, noted| {
        let mut crc = new_crc();
        crc.update(file.get(bytes(range))?);
        noted
            .is_none_or(|noted| noted == crc_text(crc.finalize()))
            .then_some(crc)
    })
}

#[test]
fn a_changed_byte_removes_its_block_and_no_other() {
    let (noted, mut file) = noted();
    assert_eq!(restored(&noted, &file).held(), 36);
    for at in (0..16).chain(20..40) {
        file[at] ^= 1;
        let restored = restored(&noted, &file);
        let holes = restored.holes(40);
        assert!(
            holes.iter().any(|hole| hole.contains(&(at as u64))),
            "{at}: {holes:?}"
        );
        assert_eq!(restored.held(), 32, "{at}: {holes:?}");
        file[at] ^= 1;
    }
    for length in 0..40 {
        let restored = restored(&noted, &file[..length]);
        assert!(restored.end() <= length as u64 && restored.held() + 8 > length as u64);
    }
}

#[test]
fn notes_of_an_early_version_need_no_crc_of_synced_bytes() {
    let early = r#"[{"start":0,"synced":16,"written":[]},{"start":20,"synced":24,"written":[{"end":28,"crc":"0000000000000000"}]}]"#;
    let early: Vec<ExtentNote> = serde_json::from_str(early).unwrap();
    assert!(early.iter().all(ExtentNote::is_consistent));
    let found = restored(&early, &[7; 40]);
    assert_eq!(found.holes(40), [16..20, 24..40]);
    // From then on it has CRCs.
    assert!(
        found
            .notes()
            .iter()
            .all(|noted| noted.synced_blocks.len() == 1)
    );
    assert_eq!(restored(&found.notes(), &[7; 40]).held(), 20);
    assert_eq!(restored(&found.notes(), &[8; 40]).held(), 0);
}

#[test]
fn many_syncs_leave_few_blocks_of_about_the_same_length() {
    let file = [7; 4000];
    let mut extents = Extents::default();
    for at in (0..4000).step_by(10) {
        extents.add(at as u64, &file[at..at + 10]);
        extents.begin_sync();
        extents.end_sync();
    }
    let noted = extents.notes();
    assert_eq!(noted[0].synced_blocks.len(), MAX_BLOCKS_PER_EXTENT);
    let starts = [0]
        .into_iter()
        .chain(noted[0].synced_blocks.iter().map(|block| block.end));
    let longest = noted[0]
        .synced_blocks
        .iter()
        .zip(starts)
        .map(|(block, start)| block.end - start)
        .max();
    assert!(longest.unwrap() <= 1100, "{noted:?}");
    assert_eq!(restored(&noted, &file).held(), 4000);
}
