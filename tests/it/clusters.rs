//! The recipes of `docs/clusters/`, run as their engines run them: several workers, one state folder.

use crate::support::services::Service;
use crate::support::tools::skip;
use crate::support::{Run, World, noise};
use docfetch::sandbox::Document;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A recipe; where the documentation was left out, as in a package, says so.
fn recipe(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/clusters");
    let path = path.join(name);
    if !path.exists() {
        skip(&format!("{} is not there", path.display()));
        return None;
    }
    Some(path)
}

/// A service, a world that points at it, and the documents by their ids, which `ids.txt` lists.
struct Cluster {
    service: Service,
    world: World,
    documents: Vec<(String, Vec<u8>)>,
}

impl Cluster {
    fn new(count: usize, bytes: usize, faults: &[&str]) -> Self {
        let documents: Vec<(String, Vec<u8>)> = (0..count)
            .map(|number| {
                let mut content = noise(bytes);
                content.extend(number.to_string().bytes());
                (format!("id{number:02}"), content)
            })
            .collect();
        // All of one name: workers that do not know of each other must not take one for another.
        let served = documents
            .iter()
            .map(|(id, content)| Document::new("report.bin", content.clone()).with_id(id));
        let service = Service::start(served.collect(), faults);
        let mut world = service.world();
        let state = world.state();
        world.set("DOCFETCH_STATE_DIR", state.to_str().unwrap());
        let lines: String = documents.iter().map(|(id, _)| format!("{id}\n")).collect();
        fs::write(world.out().join("ids.txt"), lines).unwrap();
        Self {
            service,
            world,
            documents,
        }
    }

    /// Lists the first document twice, for two workers that run at the same time.
    fn list_one_twice(&self) {
        let path = self.world.out().join("ids.txt");
        let lines = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{}\n{lines}", self.documents[0].0)).unwrap();
    }

    /// A program that finds docfetch by its name, after what is in `given/bin`.
    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut path = OsString::from(self.given().join("bin"));
        let docfetch = Path::new(env!("CARGO_BIN_EXE_docfetch"));
        for folder in [
            docfetch.parent().unwrap().as_os_str(),
            &std::env::var_os("PATH").unwrap(),
        ] {
            path.push(":");
            path.push(folder);
        }
        let mut command = self.world.command_of(program, arguments);
        command.env("PATH", path);
        command
    }

    /// What the test itself puts into the world.
    fn given(&self) -> PathBuf {
        self.world.home().join("given")
    }

    /// Runs workers, two at the same time, until all have ended.
    fn run_two_at_a_time(&self, workers: impl IntoIterator<Item = Command>) -> Vec<Run> {
        let mut workers: Vec<Command> = workers.into_iter().collect();
        let mut runs = Vec::new();
        for pair in workers.chunks_mut(2) {
            let started = Instant::now();
            let children: Vec<Child> = pair.iter_mut().map(|one| one.spawn().unwrap()).collect();
            for child in children {
                runs.push(self.world.finish(child, started));
            }
        }
        runs
    }

    /// Runs workers after all is there.
    fn does_nothing_again(&self, workers: impl IntoIterator<Item = Command>) {
        let sent = self.service.report().storage_requests;
        for run in self.run_two_at_a_time(workers) {
            run.exits(0);
        }
        assert_eq!(self.service.report().storage_requests, sent);
        self.is_paid_once_each();
    }

    /// Ends docfetch in this world as a crash does: the first one that is found, or all.
    fn kill_docfetch(&self, all: bool) {
        let out = self.world.out().canonicalize().unwrap();
        let mut killed = 0;
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let is_docfetch = fs::read_to_string(entry.path().join("comm"))
                .is_ok_and(|name| name == "docfetch\n")
                && fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == out);
            if !is_docfetch || (killed > 0 && !all) {
                continue;
            }
            let id: i32 = entry.file_name().to_str().unwrap().parse().unwrap();
            kill_process(Pid::from_raw(id).unwrap(), Signal::KILL).unwrap();
            killed += 1;
        }
        assert!(killed > 0, "no docfetch runs in {}", out.display());
    }

    /// Waits until every document has a partial of so many bytes.
    #[track_caller]
    fn wait_for_partials(&self, bytes: u64) {
        self.world.wait_until("a partial of each document", || {
            let names = fs::read_dir(self.world.out().join("documents"));
            let partials = names.into_iter().flatten().flatten().filter(|entry| {
                let is_partial = entry.file_name().to_string_lossy().ends_with(".part");
                is_partial && entry.metadata().is_ok_and(|found| found.len() >= bytes)
            });
            partials.count() == self.documents.len()
        });
    }

    /// Fails unless each document was paid for once.
    #[track_caller]
    fn is_paid_once_each(&self) {
        let charges = self.service.report().charges;
        assert_eq!(charges.len(), self.documents.len(), "{charges:?}");
        assert!(charges.values().all(|times| *times == 1), "{charges:?}");
    }

    /// Fails unless each document is there under the name that `name` gives it.
    #[track_caller]
    fn is_all_there(&self, name: impl Fn(&str) -> String) {
        for (id, content) in &self.documents {
            let name = format!("documents/{}", name(id));
            assert!(self.world.read(&name) == *content, "{name}");
        }
        let left = fs::read_dir(self.world.out().join("documents")).unwrap();
        assert_eq!(left.count(), self.documents.len(), "something is left");
    }

    /// Statuses in the manifests, by worker.
    fn manifests(&self) -> Vec<Vec<String>> {
        let files = self.world.files().into_iter();
        let manifests = files.filter(|name| name.starts_with("manifest-"));
        let statuses = |text: Vec<u8>| {
            let text = String::from_utf8(text).unwrap();
            let records = text
                .lines()
                .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
            records
                .map(|record| record["status"].as_str().unwrap().to_owned())
                .collect()
        };
        manifests
            .map(|name| statuses(self.world.read(&name)))
            .collect()
    }
}

fn with_id(id: &str) -> String {
    format!("{id}-report.bin")
}

/// The task `index` of an array of `count` whose indices start at `first`.
fn slurm_task(
    cluster: &Cluster,
    script: &Path,
    first: usize,
    count: usize,
    index: usize,
) -> Command {
    let mut command = cluster.command("bash", &[script.to_str().unwrap()]);
    command
        .env("SLURM_JOB_ID", "4711")
        .env("SLURM_ARRAY_TASK_MIN", first.to_string())
        .env("SLURM_ARRAY_TASK_COUNT", count.to_string())
        .env("SLURM_ARRAY_TASK_ID", (first + index).to_string());
    command
}

#[test]
fn the_tasks_of_a_slurm_array_share_the_work() {
    let Some(script) = recipe("slurm-array.sh") else {
        return;
    };
    for first in [0, 1] {
        let cluster = Cluster::new(13, 20_000, &["throttle=100K"]);
        cluster.list_one_twice();
        let tasks = (0..4).map(|index| slurm_task(&cluster, &script, first, 4, index));
        for run in cluster.run_two_at_a_time(tasks) {
            run.exits(0);
        }
        cluster.is_all_there(with_id);
        cluster.is_paid_once_each();
        let manifests = cluster.manifests();
        assert!(manifests.len() == 4, "{manifests:?}");
        assert!(
            manifests.iter().all(|one| (3..=4).contains(&one.len())),
            "{manifests:?}"
        );
        let skipped = manifests.iter().flatten().filter(|one| *one == "skipped");
        assert_eq!(skipped.count(), 1, "the one that is listed twice");
        // All of it again, with as many tasks as one likes.
        let tasks = (0..2).map(|index| slurm_task(&cluster, &script, first, 2, index));
        cluster.does_nothing_again(tasks);
    }
}

/// The second array has another size: other tasks, and so other nodes, take the work over.
#[test]
fn a_slurm_array_resumes_where_killed_tasks_stopped() {
    let Some(script) = recipe("slurm-array.sh") else {
        return;
    };
    let cluster = Cluster::new(4, 600_000, &["throttle=256K"]);
    let started = Instant::now();
    let children: Vec<Child> = (0..2)
        .map(|index| slurm_task(&cluster, &script, 1, 2, index).spawn().unwrap())
        .collect();
    cluster.wait_for_partials(100_000);
    cluster.kill_docfetch(true);
    for child in children {
        cluster.world.finish(child, started).exits(137);
    }
    let sent = cluster.service.report().storage_bytes;
    let tasks = (0..3).map(|index| slurm_task(&cluster, &script, 0, 3, index));
    for run in cluster.run_two_at_a_time(tasks) {
        run.exits(0);
    }
    cluster.is_all_there(with_id);
    cluster.is_paid_once_each();
    let again = cluster.service.report().storage_bytes - sent;
    assert!(again < 4 * 530_000, "{again} bytes were sent again");
}

#[test]
fn a_slurm_task_is_queued_again_only_where_that_may_help() {
    let Some(script) = recipe("slurm-array.sh") else {
        return;
    };
    for (fault, restarts, code, requeued) in [
        ("status=503x9", "0", 5, "requeue 4711\n"),
        ("status=503x9", "3", 5, ""),
        ("drop-post-response", "0", 8, ""),
    ] {
        let cluster = Cluster::new(1, 10, &[fault]);
        let called = cluster.given().join("called");
        let scontrol = cluster.given().join("bin/scontrol");
        fs::create_dir_all(scontrol.parent().unwrap()).unwrap();
        let text = format!("#!/bin/sh\necho \"$@\" >>{}\n", called.display());
        fs::write(&scontrol, text).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&scontrol, executable).unwrap();
        let mut task = slurm_task(&cluster, &script, 1, 1, 0);
        task.env("DOCFETCH_RETRIES", "0")
            .env("SLURM_RESTART_COUNT", restarts);
        cluster.run_two_at_a_time([task])[0].exits(code);
        let called = fs::read_to_string(called).unwrap_or_default();
        assert_eq!(called, requeued, "{fault}, {restarts}");
    }
}

/// What a Job says, by its lines.
struct Job {
    text: String,
    script: String,
    variables: Vec<(String, String)>,
}

impl Job {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let after = |start: &'static str| text.lines().skip_while(move |line| line.trim() != start);
        // The block scalar: all lines that are indented further than its dash.
        let block: Vec<&str> = after("args:").skip(2).collect();
        let indent = block[0].len() - block[0].trim_start().len();
        let script: String = block
            .iter()
            .take_while(|line| line.trim().is_empty() || line.starts_with(&" ".repeat(indent)))
            .map(|line| format!("{}\n", line.get(indent..).unwrap_or_default()))
            .collect();
        let env: Vec<&str> = after("env:")
            .skip(1)
            .map_while(|line| {
                let line = line.trim().trim_start_matches("- ");
                let value = line
                    .strip_prefix("name: ")
                    .or(line.strip_prefix("value: "))?;
                Some(value.trim_matches('"'))
            })
            .collect();
        let variables = env
            .chunks(2)
            .map(|pair| (pair[0].to_owned(), pair[1].to_owned()))
            .collect();
        Self {
            text: text.clone(),
            script,
            variables,
        }
    }

    /// The value of the first line that has this key.
    #[track_caller]
    fn value(&self, key: &str) -> &str {
        let mut lines = self.text.lines().map(str::trim);
        let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
        value.unwrap().split(" #").next().unwrap()
    }

    /// The exit codes that fail an index for good.
    fn final_codes(&self) -> Vec<i32> {
        let codes = self.value("values").trim_matches(['[', ']']);
        let codes = codes.split(", ").map(|code| code.parse().unwrap());
        codes.collect()
    }

    /// The container of one index, with the folders of the test in place of its volumes.
    fn pod(&self, cluster: &Cluster, index: usize) -> Command {
        assert_eq!(self.value("command"), "[/bin/sh, -euc]");
        let mut command = cluster.command("/bin/sh", &["-euc", &self.script]);
        command
            .env_remove("ONE_CODEX_API_KEY")
            .env("JOB_COMPLETION_INDEX", index.to_string());
        let volumes = [
            ("/data/state", cluster.world.state()),
            ("/ids", cluster.world.out()),
            ("/secrets", cluster.given()),
        ];
        for (name, value) in &self.variables {
            let here = volumes.iter().find_map(|(volume, folder)| {
                let rest = value.strip_prefix(volume)?;
                Some(format!("{}{rest}", folder.display()))
            });
            command.env(name, here.as_ref().unwrap_or(value));
        }
        fs::create_dir_all(cluster.given()).unwrap();
        let key = cluster.world.variable("ONE_CODEX_API_KEY");
        fs::write(cluster.given().join("key"), key + "\n").unwrap();
        command
    }
}

#[test]
fn the_pods_of_a_kubernetes_job_share_the_work() {
    let Some(path) = recipe("kubernetes-job.yaml") else {
        return;
    };
    let job = Job::read(&path);
    let completions: usize = job.value("completions").parse().unwrap();
    let cluster = Cluster::new(13, 20_000, &["throttle=100K"]);
    cluster.list_one_twice();
    let pods = (0..completions).map(|index| job.pod(&cluster, index));
    for run in cluster.run_two_at_a_time(pods) {
        run.exits(0);
    }
    cluster.is_all_there(with_id);
    cluster.is_paid_once_each();
    let manifests = cluster.manifests();
    assert_eq!(manifests.len(), completions);
    assert!(
        manifests.iter().all(|one| (1..=2).contains(&one.len())),
        "{manifests:?}"
    );
    let pods = (0..completions).map(|index| job.pod(&cluster, index));
    cluster.does_nothing_again(pods);
}

#[test]
fn a_pod_that_was_killed_is_replaced_by_one_that_resumes() {
    let Some(path) = recipe("kubernetes-job.yaml") else {
        return;
    };
    let job = Job::read(&path);
    let cluster = Cluster::new(1, 600_000, &["throttle=256K"]);
    let started = Instant::now();
    let child = job.pod(&cluster, 1).spawn().unwrap(); // awk counts from 1
    cluster.wait_for_partials(100_000);
    cluster.kill_docfetch(true);
    // It is the container's first process: its end is the container's.
    cluster.world.finish(child, started).exits(-1);
    let sent = cluster.service.report().storage_bytes;
    cluster.run_two_at_a_time([job.pod(&cluster, 1)])[0].exits(0);
    cluster.is_all_there(with_id);
    cluster.is_paid_once_each();
    let again = cluster.service.report().storage_bytes - sent;
    assert!(again < 530_000, "{again} bytes were sent again");
}

#[test]
fn a_kubernetes_job_tries_again_only_where_that_may_help() {
    let Some(path) = recipe("kubernetes-job.yaml") else {
        return;
    };
    let job = Job::read(&path);
    for (fault, code) in [("status=503x9", 5), ("drop-post-response", 8)] {
        let cluster = Cluster::new(1, 10, &[fault]);
        let mut pod = job.pod(&cluster, 1);
        pod.env("DOCFETCH_RETRIES", "0");
        cluster.run_two_at_a_time([pod])[0].exits(code);
    }
    let cluster = Cluster::new(1, 10, &[]);
    fs::remove_file(cluster.world.out().join("ids.txt")).unwrap();
    cluster.run_two_at_a_time([job.pod(&cluster, 1)])[0].exits(2);
    let codes = job.final_codes();
    assert!([2, 3, 4, 8].iter().all(|code| codes.contains(code)));
    assert!(!codes.contains(&5));
}

/// Where Snakemake is: `DOCFETCH_TEST_SNAKEMAKE`, else where `.ci/run` puts it; says so where it is not.
fn snakemake() -> Option<PathBuf> {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/ci-snakemake/bin/snakemake");
    let told = std::env::var_os("DOCFETCH_TEST_SNAKEMAKE").map(PathBuf::from);
    let program = told.unwrap_or_else(own);
    if !program.exists() {
        skip(&format!("Snakemake is not at {}", program.display()));
        return None;
    }
    Some(program)
}

/// The workflow with two workers.
fn workflow(cluster: &Cluster, snakemake: &Path, more: &[&str]) -> Option<Command> {
    let recipe = recipe("Snakefile")?;
    let program = snakemake.to_str().unwrap();
    let arguments = ["--snakefile", recipe.to_str().unwrap()];
    let mut command = cluster.command(program, &arguments);
    command
        .args(["--cores", "2", "--jobs", "2", "--nocolor"])
        .args(more)
        .args(["--config", "ids=ids.txt", "pause=0"]);
    Some(command)
}

/// A workflow that removes the record of a document and asks for it again gets it without a charge.
#[test]
fn the_jobs_of_snakemake_pay_once_and_what_was_paid_for_stays() {
    let Some(snakemake) = snakemake() else { return };
    let cluster = Cluster::new(6, 10_000, &["expire-after=2s"]);
    let Some(first) = workflow(&cluster, &snakemake, &[]) else {
        return;
    };
    cluster.run_two_at_a_time([first])[0].exits(0);
    cluster.is_all_there(with_id);
    cluster.is_paid_once_each();
    std::thread::sleep(Duration::from_millis(2100)); // no URL lives any longer
    let again = workflow(&cluster, &snakemake, &["--forceall"]).unwrap();
    cluster.run_two_at_a_time([again])[0].exits(0);
    cluster.is_all_there(with_id);
    cluster.is_paid_once_each();
    let record = String::from_utf8(cluster.world.read("records/id05.json")).unwrap();
    let record = record.lines().next().unwrap();
    let record: serde_json::Value = serde_json::from_str(record).unwrap();
    assert_eq!(record["path"], "documents/id05-report.bin");
    assert_eq!(record["status"], "skipped", "docfetch requested it again");
}

#[test]
fn a_job_of_snakemake_that_was_killed_resumes_in_the_next_run() {
    let Some(snakemake) = snakemake() else { return };
    let cluster = Cluster::new(2, 600_000, &["throttle=256K"]);
    let Some(mut first) = workflow(&cluster, &snakemake, &[]) else {
        return;
    };
    let (child, started) = (first.spawn().unwrap(), Instant::now());
    cluster.wait_for_partials(100_000);
    cluster.kill_docfetch(false);
    cluster.world.finish(child, started).exits(1);
    let sent = cluster.service.report().storage_bytes;
    let again = workflow(&cluster, &snakemake, &["--rerun-incomplete"]).unwrap();
    cluster.run_two_at_a_time([again])[0].exits(0);
    cluster.is_all_there(with_id);
    cluster.is_paid_once_each();
    let again = cluster.service.report().storage_bytes - sent;
    assert!(again < 530_000, "{again} bytes were sent again");
}

/// The whole machine is lost: Snakemake, its shells, docfetch.
#[test]
fn a_workflow_that_was_killed_resumes_in_the_next_run() {
    let Some(snakemake) = snakemake() else { return };
    let cluster = Cluster::new(2, 600_000, &["throttle=256K"]);
    let Some(mut first) = workflow(&cluster, &snakemake, &[]) else {
        return;
    };
    let (mut child, started) = (first.spawn().unwrap(), Instant::now());
    cluster.wait_for_partials(100_000);
    child.kill().unwrap();
    cluster.kill_docfetch(true);
    cluster.world.finish(child, started).exits(-1);
    let unlock = workflow(&cluster, &snakemake, &["--unlock"]).unwrap();
    cluster.run_two_at_a_time([unlock])[0].exits(0);
    let sent = cluster.service.report().storage_bytes;
    let again = workflow(&cluster, &snakemake, &["--rerun-incomplete"]).unwrap();
    cluster.run_two_at_a_time([again])[0].exits(0);
    cluster.is_all_there(with_id);
    cluster.is_paid_once_each();
    let again = cluster.service.report().storage_bytes - sent;
    assert!(again < 2 * 530_000, "{again} bytes were sent again");
}

#[test]
fn a_job_of_snakemake_tries_again_only_where_that_may_help() {
    let Some(snakemake) = snakemake() else { return };
    for (fault, code, failures) in [
        ("status=503x2", 0, 2),
        ("status=503x9", 1, 3),
        ("drop-post-response", 1, 1),
    ] {
        let cluster = Cluster::new(1, 10, &[fault]);
        let Some(mut command) = workflow(&cluster, &snakemake, &[]) else {
            return;
        };
        command
            .env("DOCFETCH_RETRIES", "0")
            .env("DOCFETCH_PROGRESS", "json");
        let run = &cluster.run_two_at_a_time([command])[0];
        run.exits(code);
        let told = run.stderr.matches(r#"{"type":"error""#).count();
        assert_eq!(told, failures, "{fault}: {run:#?}");
        cluster.is_paid_once_each();
    }
}

#[test]
fn the_jobs_of_snakemake_keep_one_rate_budget() {
    let Some(snakemake) = snakemake() else { return };
    let cluster = Cluster::new(36, 10, &[]);
    let Some(mut command) = workflow(&cluster, &snakemake, &[]) else {
        return;
    };
    command.arg("provider=sm"); // the last option is --config
    cluster.run_two_at_a_time([command])[0].exits(0);
    cluster.is_all_there(with_id);
    let report = cluster.service.report();
    assert_eq!(report.rate_limited, 0, "{report:?}");
    assert_eq!((report.tokens, report.downloads), (1, 36), "{report:?}");
    assert!(
        report.max_requests_in_ten_seconds > 25,
        "it was never short: {report:?}"
    );
}
