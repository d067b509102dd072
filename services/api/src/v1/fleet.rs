//! `/api/v1/fleet`: how many workers there are to be, who decides that, and what each of them does.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use taskmaster_fleet::{FleetError, FleetKind, FleetNode, FleetWorker, MAX_WORKERS, MIN_WORKERS};
use taskmaster_store::audit::Entry;
use taskmaster_store::bounded;
use taskmaster_store::workers::{self, Worker};
use utoipa::ToSchema;

use super::autoscaler::{self, Autoscaler};
use super::member::Member;
use super::operation;
use crate::body::JsonBody;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::operations::{Change, Order};
use crate::query::Parameters;
use crate::seed::fleet::{ScaleRequest, read_count};
use crate::{ApiState, operations};

/// Who starts and stops workers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = FleetKind)]
enum Kind {
    /// This process: they are its children.
    Processes,
    /// This API: they are the containers of a Compose service.
    Docker,
    /// This API: they are the tasks of a Swarm service.
    Swarm,
    /// Not this API.
    None,
}

/// How many workers there are to be, and those that there are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Fleet {
    /// Who starts and stops them.
    kind: Kind,
    /// Whether it can be seen and changed now; else all that follows is what was last seen.
    available: bool,
    /// Why not.
    reason: Option<String>,
    /// How many there are to be; nothing where this API does not decide it.
    desired: Option<u32>,
    /// The fewest that can be asked for.
    min: u32,
    /// The most that can be asked for.
    max: u32,
    /// Each of them; none where this API does not start them.
    members: Vec<Member>,
    /// The machines that they may run on; none where there is only one.
    nodes: Vec<Node>,
    /// What scales it by itself.
    autoscaler: Autoscaler,
}

/// A machine that workers may run on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FleetNode)]
struct Node {
    /// Its host name.
    name: String,
    /// `active`, `pause` (it gets nothing new) or `drain` (what it has goes elsewhere).
    availability: String,
    /// `ready`, `down`, `disconnected` or `unknown`.
    state: String,
    /// How many workers are to run there.
    workers: u32,
}

impl From<FleetNode> for Node {
    fn from(node: FleetNode) -> Self {
        Self {
            name: node.name,
            availability: node.availability,
            state: node.state,
            workers: node.workers,
        }
    }
}

/// Shows how many workers there are to be, and what those do that there are.
#[utoipa::path(
    get, path = "/api/v1/fleet", tag = "workers", operation_id = "fleet",
    responses((status = 200, body = Fleet)),
)]
pub(crate) async fn get(
    _caller: Caller,
    State(state): State<ApiState>,
    parameters: Parameters,
) -> Result<Json<Fleet>, ApiError> {
    parameters.finish()?;
    shown(&state).await.map(Json)
}

/// The fleet as it is now.
pub(super) async fn shown(state: &ApiState) -> Result<Fleet, ApiError> {
    let fleet = &state.fleet;
    let kind = match fleet.kind() {
        FleetKind::Processes => Kind::Processes,
        FleetKind::Docker => Kind::Docker,
        FleetKind::Swarm => Kind::Swarm,
        FleetKind::None => Kind::None,
    };
    let workers = bounded(workers::list(&state.pool)).await?;
    let (seen, reason) = match look(fleet, &workers).await {
        Ok(seen) => (seen, None),
        Err(FleetError::EngineAway) => {
            let reason = "the Docker engine does not answer".to_owned();
            (last_seen(fleet), Some(reason))
        }
        Err(FleetError::Refused(reason)) => (last_seen(fleet), Some(reason)),
        Err(error) => return Err(error.into()),
    };
    let members = seen.members.iter();
    let members = members.map(|member| Member::of(member, &workers));
    Ok(Fleet {
        kind,
        available: reason.is_none(),
        reason,
        desired: seen.desired,
        min: MIN_WORKERS,
        max: MAX_WORKERS,
        members: members.collect(),
        nodes: seen.nodes.into_iter().map(Node::from).collect(),
        autoscaler: autoscaler::shown(state).await?,
    })
}

/// What whoever starts the workers says of them.
#[derive(Default)]
struct Seen {
    desired: Option<u32>,
    members: Vec<FleetWorker>,
    nodes: Vec<FleetNode>,
}

async fn look(fleet: &taskmaster_fleet::Fleet, workers: &[Worker]) -> Result<Seen, FleetError> {
    let draining = operations::draining(workers);
    Ok(Seen {
        desired: fleet.desired_without(&draining).await?,
        members: fleet.workers().await?,
        nodes: fleet.nodes().await?,
    })
}

fn last_seen(fleet: &taskmaster_fleet::Fleet) -> Seen {
    let changes = fleet.changes();
    Seen {
        members: changes.map_or_else(Vec::new, |changes| changes.borrow().clone()),
        ..Seen::default()
    }
}

/// Makes the fleet this large. Workers that go finish what they run first.
///
/// Answers when it is under way: with 202, and with the address of the operation in `Location`; or, if `text/event-stream` is
/// accepted, with what happens as it happens. The first event is `operation`, with `{"operation_id"}`; then there is a `step`
/// for each thing done, with `{"name", "kind", "reason"}`; `decided`, with what `POST /api/workers/scale` answers, when the
/// new ones are started and the others told to go; and at the end, when those are gone, `done`, with
/// `{"operation_id", "outcome", "error"}`. It goes on whether or not anybody listens.
#[utoipa::path(
    post, path = "/api/v1/fleet/scale", tag = "workers", operation_id = "scale_fleet",
    request_body = ScaleRequest,
    responses(
        (status = 200, description = "The steps, as they are done.", body = String, content_type = "text/event-stream"),
        (status = 202, description = "The operation, under way.", body = Entry),
    ),
)]
pub(crate) async fn scale(
    caller: Caller,
    State(state): State<ApiState>,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let count = read_count(body)?;
    let order = Order::by_hand(caller, Change::Scale(count));
    let begun = operations::begin(&state, order).await?;
    operation::answer(&state, &headers, begun, Some(count)).await
}
