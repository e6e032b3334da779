//! A running stand-in for the service of a table.

use super::access::IssuedCredentials;
use super::answers::{self, HandedUrl, refusal, url_place};
use super::pages::PageCall;
use super::received::Received;
use super::rows;
use super::served::{ServedTable, UnservableTable};
use super::targets::{Target, TargetRoute, targets};
use super::things::ServedKind;
use crate::mutex::locked;
use crate::provider::{AuthMethod, Pointers, RequestTemplate, Table, TokenRoute};
use crate::sandbox::answer::{Answer, json};
use crate::sandbox::document::Document;
use crate::sandbox::state::SandboxState;
use http_body_util::{BodyExt as _, Limited};
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::RETRY_AFTER;
use serde_json::json;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The service refuses a longer request body.
const MAX_REQUEST_BODY_BYTES: usize = 1 << 16;
/// The header that the storage wants where a table has `storage_headers`.
pub(super) const STORAGE_HEADER: &str = "x-sandbox-ticket";

/// A running stand-in for the service of a table.
#[derive(Debug)]
pub(in crate::sandbox) struct TableService {
    pub(super) kinds: Vec<ServedKind>,
    pub(super) credentials: IssuedCredentials,
    address: SocketAddr,
    /// What each path may be for.
    targets: HashMap<String, Vec<Target>>,
    serving: Mutex<Serving>,
}

/// What changes while the service runs.
#[derive(Debug, Default)]
pub(super) struct Serving {
    /// When each access token was issued.
    pub(super) tokens: HashMap<String, Instant>,
    /// The refresh token that is valid now.
    pub(super) refresh_token: String,
    /// When the latest requests arrived, without those that were refused.
    accepted: VecDeque<Instant>,
    /// How often a thing was not ready, by kind and number.
    pub(super) not_ready: HashMap<(usize, usize), u32>,
}

impl TableService {
    /// A service at `address` with the tables of a provider's kinds and these documents.
    ///
    /// # Errors
    /// [`UnservableTable`].
    pub(in crate::sandbox) fn new(
        tables: Vec<Arc<Table>>,
        documents: &[Document],
        address: SocketAddr,
    ) -> Result<Self, UnservableTable> {
        let Some(first) = tables.first() else {
            return Err(UnservableTable::Key("the table has no kind".to_owned()));
        };
        let credentials = IssuedCredentials::new(first)?;
        let auth = format!("{:?}", first.auth);
        for table in &tables {
            if format!("{:?}", table.auth) != auth {
                let why = "auth is not the same for each kind";
                return Err(UnservableTable::Key(why.to_owned()));
            }
        }
        if let AuthMethod::OAuth(oauth) = &credentials.method
            && matches!(oauth.token, TokenRoute::Url(_))
        {
            let why = "the token route of auth is a whole URL, which leads past the sandbox: write it as a path";
            return Err(UnservableTable::Key(why.to_owned()));
        }
        let kinds = tables
            .into_iter()
            .map(|table| ServedKind::new(&table, documents));
        let kinds: Vec<ServedKind> = kinds.collect::<Result<_, _>>()?;
        let refresh_token = credentials.refresh_token.clone();
        let service = Self {
            targets: targets(&kinds),
            kinds,
            credentials,
            address,
            serving: Mutex::new(Serving {
                refresh_token,
                ..Serving::default()
            }),
        };
        service.check_answers()?;
        Ok(service)
    }

    /// What a client needs.
    pub(in crate::sandbox) fn served(&self) -> ServedTable {
        let kind = &self.kinds[0];
        let table = &kind.table;
        let base = (
            table.variables.api_base.clone(),
            format!("http://{}", self.address),
        );
        let mut variables = vec![base];
        variables.extend(self.credentials.variables(table));
        for (parameter, (_, value)) in table.parameters.iter().zip(&kind.parameters) {
            variables.push((parameter.variable.clone(), value.clone()));
        }
        let things = kind.things.iter();
        let has_scope = table
            .list
            .as_ref()
            .is_some_and(|list| !list.scope.is_empty());
        let scope: Vec<&str> = kind
            .shared
            .iter()
            .map(|(_, value)| value.as_str())
            .collect();
        ServedTable {
            name: table.name.clone(),
            variables,
            scope: has_scope.then(|| scope.join("/")),
            things: things
                .map(|thing| (thing.id(table), thing.document.clone()))
                .collect(),
        }
    }

    /// Builds each kind of answer once.
    ///
    /// # Errors
    /// [`UnservableTable`] for pointers that lead through one another.
    fn check_answers(&self) -> Result<(), UnservableTable> {
        let conflict = |route: &str, pointer: &str| {
            let why =
                format!("no answer of {route} has a value at {pointer} beside the other values");
            Err(UnservableTable::Key(why))
        };
        for kind in &self.kinds {
            for thing in kind.things.iter().take(2) {
                for (index, step) in kind.table.resolve.iter().enumerate() {
                    let handed = HandedUrl {
                        url: "http://127.0.0.1/".to_owned(),
                        header: Some((STORAGE_HEADER.to_owned(), String::new())),
                        lifetime: Duration::from_hours(1),
                    };
                    let place = url_place(kind, index, thing).map(|place| (place, &handed));
                    let answer = answers::step(step, thing, place)?;
                    if let Some(pointer) = answer.conflicts.first() {
                        return conflict("resolve", pointer);
                    }
                }
                if let Some(metadata) = &kind.table.metadata
                    && let Some(pointer) = answers::metadata(metadata, thing)?.conflicts.first()
                {
                    return conflict("metadata", pointer);
                }
            }
            if let Some(list) = &kind.table.list
                && let Err(pointer) = rows::of_list(kind, list)
            {
                return conflict("list", &pointer);
            }
            for lookup in &kind.table.lookups {
                if let Err(why) = rows::of_lookup(lookup) {
                    return conflict(&format!("lookup.{}", lookup.name), &why);
                }
            }
        }
        Ok(())
    }

    /// Locks what changes.
    pub(super) fn serving(&self) -> MutexGuard<'_, Serving> {
        locked(&self.serving)
    }

    /// Answers a request.
    ///
    /// # Errors
    /// When the connection must close without an answer.
    pub(in crate::sandbox) async fn answer(
        &self,
        state: &SandboxState,
        request: Request<Incoming>,
    ) -> io::Result<Answer> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, MAX_REQUEST_BODY_BYTES).collect().await;
        let body = body.map_err(|error| io::Error::other(error.to_string()))?;
        let received = Received::new(&head, body.to_bytes());
        if let Some(wait) = self.wait_for_rate_limit() {
            state.changing().report.rate_limited += 1;
            let mut answer = json(429, &json!({"message": "The rate limit is exceeded."}));
            answer.headers_mut().insert(RETRY_AFTER, wait.into());
            return Ok(answer);
        }
        if let Some(answer) = self.token_answer(state, &received)? {
            return Ok(answer);
        }
        let Some(targets) = self.targets.get(&received.path) else {
            return Ok(refusal(404, "The table has no such path.", None));
        };
        let is_proven = self.credentials.are_in(&received, &self.serving().tokens);
        if !is_proven {
            let error = self.error_pointer(targets[0]);
            return Ok(refusal(401, "The credential is missing or wrong.", error));
        }
        let mut wrong = (405, "The method is not allowed.".to_owned());
        for target in targets {
            let request = self.request_of(*target);
            if request.method != received.method {
                continue;
            }
            match self.answer_target(state, *target, &received) {
                Ok(answer) => return answer,
                Err(why) => wrong = (400, why),
            }
        }
        Ok(refusal(wrong.0, &wrong.1, self.error_pointer(targets[0])))
    }

    /// Counts a request. Returns how many seconds the client must wait when the request exceeds a rate limit.
    fn wait_for_rate_limit(&self) -> Option<u64> {
        let rates = self.kinds[0].rates();
        let longest = rates.iter().map(|rate| rate.window).max()?;
        let mut serving = self.serving();
        let now = Instant::now();
        while serving
            .accepted
            .front()
            .is_some_and(|at| now - *at >= longest)
        {
            serving.accepted.pop_front();
        }
        for rate in rates {
            let recent = serving
                .accepted
                .iter()
                .filter(|at| now - **at < rate.window);
            let counted = recent.count();
            if counted >= usize::try_from(rate.requests).unwrap_or(usize::MAX) {
                let oldest = serving.accepted[serving.accepted.len() - counted];
                return Some(rate.window.saturating_sub(now - oldest).as_secs() + 1);
            }
        }
        serving.accepted.push_back(now);
        None
    }

    /// The request that the table describes for a target.
    fn request_of(&self, target: Target) -> &RequestTemplate {
        let table = &self.kinds[target.kind].table;
        let metadata = table.metadata.as_ref().map(|metadata| &metadata.request);
        let list = table.list.as_ref().map(|list| &list.rows.request);
        let found = match target.route {
            TargetRoute::Step(step) => Some(&table.resolve[step].request),
            TargetRoute::Metadata => metadata,
            TargetRoute::List { .. } => list,
            TargetRoute::Lookup { number, .. } => Some(&table.lookups[number].rows.request),
        };
        found.unwrap_or(&table.resolve[0].request)
    }

    fn error_pointer(&self, target: Target) -> Option<&Pointers> {
        let steps = &self.kinds[target.kind].table.resolve;
        let step = match target.route {
            TargetRoute::Step(step) => step,
            _ => 0,
        };
        steps[step].error.as_ref()
    }

    /// # Errors
    /// How the request differs from the one that the table describes.
    fn answer_target(
        &self,
        state: &SandboxState,
        target: Target,
        received: &Received,
    ) -> Result<io::Result<Answer>, String> {
        let kind = &self.kinds[target.kind];
        let request = self.request_of(target);
        let thing = match target.route {
            TargetRoute::Step(_) | TargetRoute::Metadata => kind.things.get(target.thing),
            _ => None,
        };
        let values = kind.values(thing);
        received.demand_headers(&kind.table.headers, &values)?;
        received.demand_headers(&request.headers, &values)?;
        let rows = |route, filters, continues| PageCall {
            route,
            filters,
            values: &values,
            received,
            key_parameter: self.credentials.query_parameter(),
            continues,
            address: self.address,
        };
        match (target.route, thing, &kind.table.list, &kind.table.metadata) {
            (TargetRoute::List { continues }, _, Some(list), _) => {
                let filters = list.filters.iter().map(|filter| &filter.server).collect();
                let all = rows::of_list(kind, list)?;
                rows(&list.rows, filters, continues).answer(&all).map(Ok)
            }
            (TargetRoute::Lookup { number, continues }, ..) => {
                let lookup = &kind.table.lookups[number];
                let filters = lookup.by_name.iter().collect();
                let all = rows::of_lookup(lookup)?;
                rows(&lookup.rows, filters, continues).answer(&all).map(Ok)
            }
            (TargetRoute::Step(_) | TargetRoute::Metadata, Some(thing), ..) => {
                let mut others = received.other_query(request, &values)?;
                others
                    .retain(|(name, _)| Some(name.as_str()) != self.credentials.query_parameter());
                if let Some((name, _)) = others.first() {
                    return Err(format!("the query parameter {name} is unknown"));
                }
                received.demand_body(request.body.as_ref(), &values)?;
                match (target.route, &kind.table.metadata) {
                    (TargetRoute::Step(step), _) => {
                        Ok(self.step(state, target.kind, step, thing, received))
                    }
                    (_, Some(metadata)) => {
                        Ok(answers::metadata(metadata, thing).and_then(|answer| {
                            let mut answer = json(200, &answer.into_json());
                            answers::set_checksums(&mut answer, &metadata.checksums, thing)?;
                            Ok(answer)
                        }))
                    }
                    _ => Err("the table has no such route".to_owned()),
                }
            }
            _ => Err("the table has no such route".to_owned()),
        }
    }
}
