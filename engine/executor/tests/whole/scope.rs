//! A hostile runner that knows hashes of content of other repositories.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

use plue_executor::{Engine, Options, engine::Parts};
use plue_flow::RunStatus;
use plue_plan::{Plan, RunId, RunnerId};
use plue_pool::{
    LocalPool,
    dialed::{Arrival, Dial},
};
use plue_runtime::{Clock, Ids, Tasks};
use plue_wire::{
    encode,
    eval::Bytes,
    outputs::{
        Answer, ArtifactFile, BlobHash, Change, Changes, CheckpointRecord, Entry, Question, Record,
    },
    runner::{
        AttemptEvent, AttemptResult, Claim, EventKind, Exit, FromRunner, Hello, MAX_FRAME_BYTES,
        PROTOCOL, ToRunner,
    },
};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use super::world::{World, bash, in_repository};

const SECRET: &[u8] = b"an artifact of acme/private";

type Script = fn(&Claim) -> Vec<Question>;
type Answers = Arc<Mutex<BTreeMap<String, Vec<Answer>>>>;

/// Gives connections to runners that ask the questions in the script of their step.
#[derive(Debug, Clone)]
struct Scripted {
    tasks: Tasks,
    answers: Answers,
}

struct Connection {
    stream: UnixStream,
    answers: Answers,
}

// === impl Scripted ===

impl Dial for Scripted {
    fn arrive(&self, runner: &RunnerId, token: &str) -> Arrival<'_> {
        let hello = FromRunner::Hello(Hello {
            protocol: PROTOCOL,
            runner: runner.clone(),
            boot: "boot".to_owned(),
            token: token.to_owned(),
            facts: Vec::new(),
            resume: Vec::new(),
        });
        let ends = UnixStream::pair();
        let answers = Arc::clone(&self.answers);
        Box::pin(async move {
            let (ours, stream) = ends?;
            let connection = Connection { stream, answers };
            self.tasks.spawn("scripted runner", async move {
                let _over = connection.serve(hello).await;
            });
            Ok(ours)
        })
    }

    fn discard(&self, _: &RunnerId) {}
}

// === impl Connection ===

impl Connection {
    async fn serve(mut self, hello: FromRunner) -> io::Result<()> {
        self.send(&hello).await?;
        loop {
            match self.receive().await? {
                ToRunner::Welcome(_) => self.send(&FromRunner::Ready).await?,
                ToRunner::Assign(assign) => {
                    self.send(&FromRunner::Accept(assign.claim.clone())).await?;
                    let kind = EventKind::Started { pid: 1 };
                    let claim = assign.claim.clone();
                    let started = AttemptEvent { claim, seq: 1, at_us: 1, kind };
                    self.send(&FromRunner::Event(started)).await?;
                    let mut answers = Vec::new();
                    for question in script(assign.step.as_str())(&assign.claim) {
                        self.send(&FromRunner::Ask(question)).await?;
                        answers.push(self.answer().await?);
                    }
                    self.answers.lock().unwrap().insert(assign.step.to_string(), answers);
                    self.send(&FromRunner::Result(success(assign.claim))).await?;
                }
                ToRunner::Shutdown(_) | ToRunner::Close(..) => return Ok(()),
                _ => {}
            }
        }
    }

    async fn answer(&mut self) -> io::Result<Answer> {
        loop {
            if let ToRunner::Answer(answer) = self.receive().await? {
                return Ok(answer);
            }
        }
    }

    async fn send(&mut self, message: &FromRunner) -> io::Result<()> {
        self.stream.write_all(&encode(message, MAX_FRAME_BYTES).unwrap()).await
    }

    async fn receive(&mut self) -> io::Result<ToRunner> {
        let length = self.stream.read_u32_le().await?;
        let mut frame = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut frame).await?;
        Ok(plue_wire::decode(&frame).unwrap())
    }
}

fn success(claim: Claim) -> AttemptResult {
    AttemptResult {
        claim,
        seq: 2,
        at_us: 2,
        exit: Exit::Code(0),
        output_json: "null".to_owned(),
        wall_us: 1,
        cpu_us: 1,
        max_rss_kib: 1,
        leaked: 0,
    }
}

fn hash(bytes: &[u8]) -> BlobHash {
    BlobHash(Sha256::digest(bytes).into())
}

fn artifact(bytes: &[u8]) -> Record {
    let size = bytes.len() as u64;
    let (path, blob) = ("stolen.txt".to_owned(), hash(bytes));
    Record::Artifacts(vec![ArtifactFile { path, blob, bytes: size, executable: false }])
}

fn cache(bytes: &[u8]) -> Record {
    let size = bytes.len() as u64;
    Record::Cache { key: "deps".to_owned(), archive: hash(bytes), bytes: size, files: 1 }
}

/// A list of changes that marks the secret as kept by the engine.
fn changes() -> Vec<u8> {
    let (mode, size) = (0o644, SECRET.len() as u64);
    let before = Some(Entry::File { mode, size, hash: Some(hash(SECRET)), kept: true });
    let change = Change { path: Bytes(b"stolen.txt".to_vec()), before, after: None };
    Changes { version: Changes::VERSION, list: vec![change] }.encode().unwrap()
}

fn checkpoint() -> Record {
    let (steps, changes) = (vec!["hostile".into()], Some(hash(&changes())));
    Record::Checkpoint(CheckpointRecord { steps, changes, files: 1, bytes: 1, note: None })
}

fn get(bytes: &[u8]) -> Question {
    Question::Get { blob: hash(bytes), offset: 0 }
}

fn put(bytes: &[u8]) -> Question {
    Question::PutMany(vec![Bytes(bytes.to_vec())])
}

fn script(step: &str) -> Script {
    match step {
        "victim" => |claim| {
            vec![
                put(SECRET),
                Question::Record(claim.clone(), artifact(SECRET)),
                Question::Record(claim.clone(), cache(SECRET)),
                get(SECRET),
            ]
        },
        "hostile" => |claim| {
            let (key, restore) = ("deps".to_owned(), vec!["d".to_owned()]);
            vec![
                Question::Missing(vec![hash(SECRET), hash(b"nobody has this")]),
                get(SECRET),
                get(b"nobody has this"),
                // From the middle, as if the beginning had been allowed.
                Question::Get { blob: hash(SECRET), offset: 3 },
                Question::Record(claim.clone(), artifact(SECRET)),
                Question::Record(claim.clone(), cache(SECRET)),
                put(&changes()),
                Question::Record(claim.clone(), checkpoint()),
                Question::FindCache { claim: claim.clone(), key, restore },
            ]
        },
        "owner" => |claim| {
            vec![put(SECRET), get(SECRET), Question::Record(claim.clone(), artifact(SECRET))]
        },
        "neighbour" => |claim| {
            let (key, restore) = ("deps".to_owned(), Vec::new());
            let found = Question::FindCache { claim: claim.clone(), key, restore };
            vec![Question::Missing(vec![hash(SECRET)]), found, get(SECRET)]
        },
        _ => |_| Vec::new(),
    }
}

/// Runs one step of a repository with the runner of that script; gives what the engine answered.
async fn answers(
    world: &World,
    answers: &Answers,
    (repo, step): (&str, &str),
) -> (RunId, Vec<Answer>) {
    let plan = Plan::new("scripted", vec![bash(step, "true")]);
    let run = world.submit_for(plan, in_repository(repo)).await;
    assert_eq!(world.drive(&run).await, RunStatus::Success);
    (run, answers.lock().unwrap().remove(step).unwrap())
}

async fn scripted() -> (World, Answers) {
    let world = World::new().await;
    let (tasks, found) = (Tasks::new(), Answers::default());
    let (store, clock) = (world.store.clone(), Clock::real());
    let state = world.directory.path().join("state");
    let directory = state.join("runners");
    let options = plue_pool::Options { binary: "none".into(), directory };
    let dial = Scripted { tasks: tasks.clone(), answers: Arc::clone(&found) };
    let pool = LocalPool::new(options, store.clone(), clock, tasks.clone());
    let pool = pool.dialed_by(Arc::new(dial));
    let parts = Parts { store, pool, clock, ids: Ids::random(), tasks };
    let engine = Engine::new(Options::new(state.join("locks")), parts);
    (World { engine, ..world }, found)
}

fn is_part(answer: &Answer) -> bool {
    matches!(answer, Answer::Part { bytes, .. } if bytes.0 == SECRET)
}

#[tokio::test]
async fn content_of_other_repositories_stays_hidden() {
    let (world, found) = scripted().await;
    let (_, victim) = answers(&world, &found, ("acme/private", "victim")).await;
    assert_eq!(&victim[..3], [Answer::Done, Answer::Done, Answer::Done]);
    assert!(is_part(&victim[3]), "{victim:?}");

    let (run, hostile) = answers(&world, &found, ("mallory/own", "hostile")).await;
    let (secret, absent) = (hash(SECRET), hash(b"nobody has this"));
    assert_eq!(hostile[0], Answer::Missing(vec![secret, absent]));
    let nothing = |blob: BlobHash| Answer::Nothing(format!("there is no blob {blob}"));
    assert_eq!(hostile[1..4], [nothing(secret), nothing(absent), nothing(secret)]);
    for refused in [4, 5, 7] {
        let Answer::Refused(why) = &hostile[refused] else { panic!("{refused}: {hostile:?}") };
        assert!(why.starts_with("PLUE-R0014: "), "{refused}: {why}");
    }
    assert_eq!(hostile[6], Answer::Done, "its own content is taken");
    assert!(matches!(hostile[8], Answer::Nothing(_)), "{hostile:?}");
    assert_eq!(world.store.artifacts().list(&run).await.unwrap(), []);
    assert_eq!(world.store.checkpoints().list(&run).await.unwrap(), []);
}

#[tokio::test]
async fn content_is_given_to_runs_that_have_it() {
    let (world, found) = scripted().await;
    let _victim = answers(&world, &found, ("acme/private", "victim")).await;
    let (run, owner) = answers(&world, &found, ("mallory/own", "owner")).await;
    assert!(is_part(&owner[1]), "{owner:?}");
    assert_eq!((&owner[0], &owner[2]), (&Answer::Done, &Answer::Done));
    assert_eq!(world.store.artifacts().list(&run).await.unwrap().len(), 1);
    let (_, neighbour) = answers(&world, &found, ("acme/private", "neighbour")).await;
    assert_eq!(neighbour[0], Answer::Missing(Vec::new()), "of the same scope");
    let hit = matches!(&neighbour[1], Answer::Cache { archive, exact: true, .. } if *archive == hash(SECRET));
    assert!(hit && is_part(&neighbour[2]), "{neighbour:?}");
}
