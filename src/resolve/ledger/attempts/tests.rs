use super::super::table::{
    RecordKey, RetrievalEvent, RetrievalRequest, Verdict, record_after, verdict,
};
use super::*;
use crate::http::PresignedUrl;
use crate::model::DocumentId;
use jiff::SignedDuration;
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use url::Url;

/// How late a process sees at most what another process wrote.
const MAX_LATENESS: u64 = 60;
const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const RECORD: &str = "a.json";

fn id() -> DocumentId {
    DocumentId::parse("00f2", None).unwrap()
}

fn url(number: u32) -> PresignedUrl {
    let url = Url::parse(&format!("https://s.example/{number}?sig=s3cret")).unwrap();
    PresignedUrl::new(url, Some(NOW + SignedDuration::from_hours(1)))
}

fn after(record: Option<RetrievalRecord>, event: RetrievalEvent<'_>) -> Option<RetrievalRecord> {
    let id = id();
    let key = RecordKey {
        provider: "onecodex",
        base: "https://api.example",
        id: &id,
    };
    record_after(key, record, None, event, NOW)
}

/// A file as it was at some time: who wrote it, when, and what; no content when it was removed.
#[derive(Debug)]
struct Version {
    writer: usize,
    time: u64,
    content: Option<Vec<u8>>,
}

/// A file system that several machines share. Only creating a file exclusively is the same for all.
#[derive(Debug, Default)]
struct Server {
    now: Cell<u64>,
    files: RefCell<BTreeMap<String, Vec<Version>>>,
}

/// What one process sees of it. Each read shows any version that is not too old, again an older one than
/// before, too.
#[derive(Debug)]
struct Client {
    server: Rc<Server>,
    process: usize,
    /// Decides which version the next reads show.
    choice: Cell<usize>,
}

impl Client {
    fn seen(&self, file: &str) -> Option<Vec<u8>> {
        let files = self.server.files.borrow();
        let versions = files.get(file)?;
        let fresh = self.server.now.get().saturating_sub(MAX_LATENESS);
        let is_visible =
            |version: &Version| version.writer == self.process || version.time <= fresh;
        let oldest = versions.iter().rposition(is_visible);
        // Before its first visible version, a file does not exist.
        let candidates = versions.len() - oldest.unwrap_or(0) + usize::from(oldest.is_none());
        self.choice
            .set(self.choice.get().wrapping_mul(31).wrapping_add(7));
        let chosen = versions
            .len()
            .checked_sub(1 + self.choice.get() % candidates)?;
        versions[chosen].content.clone()
    }

    fn write(&self, file: &str, content: Option<Vec<u8>>) {
        let mut files = self.server.files.borrow_mut();
        files.entry(file.to_owned()).or_default().push(Version {
            writer: self.process,
            time: self.server.now.get(),
            content,
        });
    }
}

impl SharedFiles for Client {
    type Staged = (String, Vec<u8>);

    fn path(&self, file: &str) -> PathBuf {
        file.into()
    }

    fn read_record(&self, file: &str) -> Result<Option<RetrievalRecord>, Untrusted> {
        Ok(self
            .seen(file)
            .map(|line| serde_json::from_slice(&line).unwrap()))
    }

    fn read(&self, file: &str) -> Result<Option<Vec<u8>>, Untrusted> {
        Ok(self.seen(file))
    }

    fn stage(&self, file: &str, content: &[u8]) -> Result<Self::Staged, CreateError> {
        Ok((file.to_owned(), content.to_owned()))
    }

    fn publish(&self, (file, content): Self::Staged) -> Result<()> {
        self.write(&file, Some(content));
        Ok(())
    }

    fn create(&self, file: &str) -> Result<bool, CreateError> {
        let exists = {
            let files = self.server.files.borrow();
            let last = files.get(file).and_then(|versions| versions.last());
            last.is_some_and(|version| version.content.is_some())
        };
        if !exists {
            self.write(file, Some(Vec::new()));
        }
        Ok(!exists)
    }

    fn remove(&self, file: &str) -> Result<()> {
        self.write(file, None);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

/// A client that sees everything at once.
fn client(server: &Rc<Server>, process: usize) -> Client {
    server.now.set(server.now.get() + 2 * MAX_LATENESS);
    Client {
        server: Rc::clone(server),
        process,
        choice: Cell::new(0),
    }
}

fn read_all(client: &Client) -> (Attempts, Found) {
    let mut attempts = Attempts::new("a".to_owned());
    client
        .server
        .now
        .set(client.server.now.get() + 2 * MAX_LATENESS);
    let found = attempts.read(client).unwrap();
    (attempts, found)
}

fn begin(attempts: &mut Attempts, client: &Client, before: &Found) -> NewAttempt {
    let record = after(before.record.clone(), RetrievalEvent::Sending).unwrap();
    attempts
        .begin(client, &record, before.record.clone())
        .unwrap()
}

fn state(found: &Found) -> Option<(State, u32)> {
    found
        .record
        .as_ref()
        .map(|record| (record.state, record.attempt))
}

#[test]
fn an_attempt_belongs_to_the_process_that_created_it() {
    let server = Rc::default();
    let [one, other] = [1, 2].map(|process| client(&server, process));
    let (mut first, nothing) = read_all(&one);
    let (mut second, same) = read_all(&other);
    assert_eq!((&nothing.record, &same.record), (&None, &None));
    assert!(matches!(begin(&mut first, &one, &nothing), NewAttempt::Own));
    assert!(matches!(
        begin(&mut second, &other, &same),
        NewAttempt::Taken
    ));
    let found = second.read(&other).unwrap();
    assert_eq!((found.number(), found.is_under_way()), (1, true));
    // The second process ends nothing that it did not begin.
    second.take_back(&other).unwrap();
    assert_eq!(state(&read_all(&other).1), Some((State::Attempting, 1)));
    let answered = read_all(&one).1.record;
    let answered = after(answered, RetrievalEvent::Answered(&url(1))).unwrap();
    first.end(&one, &answered).unwrap();
    assert_eq!(state(&read_all(&other).1), Some((State::Answered, 1)));
}

#[test]
fn what_was_no_charge_leaves_the_attempt_before_it() {
    let server = Rc::default();
    let [one, other] = [1, 2].map(|process| client(&server, process));
    let (mut first, nothing) = read_all(&one);
    begin(&mut first, &one, &nothing);
    first.take_back(&one).unwrap();
    assert_eq!(read_all(&other).1.record, None);
    let (mut stopped, found) = read_all(&other);
    begin(&mut stopped, &other, &found);
    let attempting = read_all(&other).1.record;
    // The user permits another charge, which the provider refuses.
    let (mut permitted, found) = read_all(&one);
    assert_eq!(state(&found), Some((State::Attempting, 2)));
    begin(&mut permitted, &one, &found);
    permitted.take_back(&one).unwrap();
    // In the meantime, the process before it got its answer.
    let answered = after(attempting, RetrievalEvent::Answered(&url(2))).unwrap();
    stopped.end(&other, &answered).unwrap();
    let (last, found) = read_all(&one);
    assert_eq!(state(&found), Some((State::Answered, 2)));
    assert_eq!(last.next(), 4);
    // A mark of any process is about that attempt.
    last.mark(&one, Mark::Delivered, NOW).unwrap();
    last.mark(&one, Mark::Expired, NOW).unwrap();
    let found = read_all(&other).1;
    assert_eq!(state(&found), Some((State::Delivered, 2)));
    assert_eq!(found.record.unwrap().expires(), Some(NOW));
}

#[test]
fn a_record_of_an_earlier_version_counts_until_the_first_charge() {
    let server = Rc::default();
    let one = client(&server, 1);
    let sent = after(None, RetrievalEvent::Sending);
    let earlier = after(sent, RetrievalEvent::Answered(&url(0))).unwrap();
    one.write(RECORD, Some(serde_json::to_vec(&earlier).unwrap()));
    let (attempts, found) = read_all(&one);
    assert_eq!(state(&found), Some((State::Answered, 0)));
    attempts.mark(&one, Mark::Delivered, NOW).unwrap();
    assert_eq!(state(&read_all(&one).1), Some((State::Delivered, 0)));
    let (mut attempts, found) = read_all(&one);
    begin(&mut attempts, &one, &found);
    assert_eq!(state(&read_all(&one).1), Some((State::Attempting, 1)));
    attempts.take_back(&one).unwrap();
    assert_eq!(state(&read_all(&one).1), Some((State::Delivered, 0)));
}

#[test]
fn an_attempt_without_content_may_be_under_way() {
    let server = Rc::default();
    let one = client(&server, 1);
    assert!(one.create("a.attempt.1").unwrap());
    let (attempts, found) = read_all(&one);
    assert!(found.is_unseen && found.is_under_way());
    assert_eq!((found.number(), attempts.next()), (1, 2));
    one.write("a.attempt.1", Some(b"{".to_vec()));
    assert!(Attempts::new("a".to_owned()).read(&one).is_err());
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Answered,
    NoAnswer,
    Refused,
}

/// What one process of the model does next.
#[derive(Debug)]
enum Phase {
    /// Reads what is recorded, and decides.
    Idle,
    /// Makes an attempt.
    Decided { found: Found, permitted: bool },
    /// Sends its request.
    Begun { number: u32, permitted: bool },
    /// Records what became of the request.
    Sent { number: u32, fate: Fate },
    /// Uses the URL of an attempt.
    HasUrl { number: u32 },
}

#[derive(Debug)]
struct Process {
    client: Client,
    attempts: Attempts,
    phase: Phase,
    /// Whether `--allow-recharge` is given, and not used up.
    may_recharge: bool,
}

/// What really happened to an attempt.
#[derive(Debug, Default)]
struct Truth {
    /// Without a fate, the request may still leave.
    fate: Option<Fate>,
    permitted: bool,
    delivered: bool,
    expired: bool,
}

#[derive(Debug)]
struct Model {
    server: Rc<Server>,
    processes: Vec<Process>,
    started: usize,
    attempts: BTreeMap<u32, Truth>,
}

/// One step of one process: it does what comes next, or is killed and starts anew.
#[derive(Clone, Copy, Debug)]
struct Step {
    process: usize,
    /// Whether the process is killed; then, whether the next one gets `--allow-recharge`.
    killed: Option<bool>,
    has_partial: bool,
    fate: Fate,
    delivers: bool,
    choice: usize,
    time: u64,
}

const PROCESSES: usize = 4;

fn step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![
        2 => Just(Fate::Answered),
        1 => Just(Fate::NoAnswer),
        1 => Just(Fate::Refused),
    ];
    let killed = prop::option::weighted(0.1, prop::bool::weighted(0.3));
    let choices = (killed, prop::bool::weighted(0.2), any::<bool>());
    (0..PROCESSES, choices, fate, any::<usize>(), 0..20_u64).prop_map(
        |(process, (killed, has_partial, delivers), fate, choice, time)| Step {
            process,
            killed,
            has_partial,
            fate,
            delivers,
            choice,
            time,
        },
    )
}

impl Model {
    fn new() -> Self {
        let mut model = Self {
            server: Rc::default(),
            processes: Vec::new(),
            started: 0,
            attempts: BTreeMap::new(),
        };
        model.processes = (0..PROCESSES).map(|_| model.start(false)).collect();
        model
    }

    fn start(&mut self, may_recharge: bool) -> Process {
        self.started += 1;
        Process {
            client: Client {
                server: Rc::clone(&self.server),
                process: self.started,
                choice: Cell::new(self.started),
            },
            attempts: Attempts::new("a".to_owned()),
            phase: Phase::Idle,
            may_recharge,
        }
    }

    /// Whether a request may leave without the flag: the last attempt that is not known to be without a
    /// charge delivered the document, and its URL expired.
    fn is_free(&self, before: u32) -> bool {
        let earlier = self.attempts.range(..before).rev();
        let mut charged = earlier.filter(|(_, truth)| truth.fate != Some(Fate::Refused));
        charged
            .next()
            .is_none_or(|(_, truth)| truth.delivered && truth.expired)
    }

    fn run(&mut self, step: Step) -> Result<(), TestCaseError> {
        self.server.now.set(self.server.now.get() + step.time);
        if let Some(allow) = step.killed {
            self.processes[step.process] = self.start(allow);
            return Ok(());
        }
        let started = self.start(false);
        let mut process = std::mem::replace(&mut self.processes[step.process], started);
        process.client.choice.set(step.choice);
        let phase = std::mem::replace(&mut process.phase, Phase::Idle);
        process.phase = match phase {
            Phase::Idle => process.decide(step.has_partial),
            Phase::Decided { found, permitted } => {
                match begin(&mut process.attempts, &process.client, &found) {
                    NewAttempt::Own => self.begun(permitted, process.attempts.known)?,
                    NewAttempt::Taken => Phase::Idle,
                }
            }
            Phase::Begun { number, permitted } => {
                process.may_recharge &= !permitted;
                let truth = self.attempts.get_mut(&number).unwrap();
                prop_assert_eq!(truth.fate, None, "two requests of attempt {}", number);
                truth.fate = Some(step.fate);
                Phase::Sent {
                    number,
                    fate: step.fate,
                }
            }
            Phase::Sent { number, fate } => process.record(number, fate),
            Phase::HasUrl { number } => {
                let truth = self.attempts.get_mut(&number).unwrap();
                let mark = if step.delivers {
                    Mark::Delivered
                } else {
                    Mark::Expired
                };
                truth.delivered |= mark == Mark::Delivered;
                truth.expired |= mark == Mark::Expired;
                process.attempts.mark(&process.client, mark, NOW).unwrap();
                Phase::Idle
            }
        };
        self.processes[step.process] = process;
        Ok(())
    }

    fn begun(&mut self, permitted: bool, number: u32) -> Result<Phase, TestCaseError> {
        prop_assert!(
            permitted || self.is_free(number),
            "{number}: {:#?}",
            self.attempts
        );
        let truth = Truth {
            permitted,
            ..Truth::default()
        };
        let before = self.attempts.insert(number, truth);
        prop_assert!(before.is_none(), "attempt {} twice", number);
        Ok(Phase::Begun { number, permitted })
    }

    /// What a process says that starts when every change is visible: what really happened last.
    fn check_end(&mut self) -> Result<(), TestCaseError> {
        self.server
            .now
            .set(self.server.now.get() + 2 * MAX_LATENESS);
        let mut last = self.start(false);
        let found = last.attempts.read(&last.client).unwrap();
        let mut charged = self.attempts.iter().rev();
        let charged = charged.find(|(number, truth)| {
            let is_recording = self.processes.iter().any(|process| {
                matches!(process.phase, Phase::Sent { number: sent, .. } if sent == **number)
            });
            is_recording || truth.fate != Some(Fate::Refused) || found.number == **number
        });
        let Some((number, truth)) = charged else {
            prop_assert_eq!(found.record, None);
            return Ok(());
        };
        prop_assert_eq!(found.number, *number);
        let state = found.record.map(|record| record.state);
        if truth.delivered {
            prop_assert_eq!(state, Some(State::Delivered));
        } else if let Some(State::Answered | State::Delivered) = state {
            prop_assert_eq!(truth.fate, Some(Fate::Answered));
        }
        Ok(())
    }

    fn charges(&self, permitted: bool) -> usize {
        let is_charge = |truth: &&Truth| {
            let fate = truth.fate.unwrap_or(Fate::Refused);
            fate != Fate::Refused && truth.permitted == permitted
        };
        self.attempts.values().filter(is_charge).count()
    }
}

impl Process {
    fn decide(&mut self, has_partial: bool) -> Phase {
        self.attempts = Attempts::new("a".to_owned());
        let mut found = self.attempts.read(&self.client).unwrap();
        if found.is_unseen {
            found.record = after(None, RetrievalEvent::Sending);
        }
        let request = RetrievalRequest {
            has_partial,
            permitted: self.may_recharge,
            ..RetrievalRequest::default()
        };
        match verdict(found.record.as_ref(), request) {
            Verdict::Request | Verdict::RequestAgain => Phase::Decided {
                found,
                permitted: false,
            },
            Verdict::RequestPermitted => Phase::Decided {
                found,
                permitted: true,
            },
            Verdict::Use(_) => Phase::HasUrl {
                number: found.number,
            },
            Verdict::Refuse(_) => Phase::Idle,
        }
    }

    fn record(&mut self, number: u32, fate: Fate) -> Phase {
        let sent = self
            .attempts
            .own
            .as_ref()
            .map(|attempt| attempt.record.clone());
        match fate {
            Fate::Refused => {
                self.attempts.take_back(&self.client).unwrap();
                Phase::Idle
            }
            Fate::NoAnswer => {
                let record = after(sent, RetrievalEvent::Unanswered).unwrap();
                self.attempts.end(&self.client, &record).unwrap();
                Phase::Idle
            }
            Fate::Answered => {
                let record = after(sent, RetrievalEvent::Answered(&url(number))).unwrap();
                self.attempts.end(&self.client, &record).unwrap();
                Phase::HasUrl { number }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Processes that hold no lock, see the files of each other up to a minute late and in any order, are
    /// stopped anywhere and killed anywhere: no request leaves without the flag while an earlier one may
    /// have been charged, unless that one delivered the document and its URL expired.
    #[test]
    fn no_lock_and_late_files_cause_no_second_charge(steps in prop::collection::vec(step(), 1..120)) {
        let mut model = Model::new();
        for step in steps {
            model.run(step)?;
        }
        model.check_end()?;
    }

    /// As long as no URL expires: one charge, and one more for each process that has the flag.
    #[test]
    fn one_charge_and_one_for_each_flag(steps in prop::collection::vec(step(), 1..120)) {
        let mut model = Model::new();
        let mut flags = 0;
        for step in steps {
            flags += usize::from(step.killed == Some(true));
            model.run(Step { delivers: true, ..step })?;
        }
        prop_assert!(model.charges(false) <= 1, "{:#?}", model.attempts);
        prop_assert!(model.charges(true) <= flags, "{:#?}", model.attempts);
    }
}
