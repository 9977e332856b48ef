//! From a frame to its handler and from the handler's result to a frame.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use lcow_protocol::envelope::{Message, RequestBase, ResponseBase};
use lcow_protocol::frame::{self, Header, MAX_TO_HOST};
use lcow_protocol::messages::{self, Request};
use lcow_protocol::{ActivityId, ContainerId, HResult, MessageType, json};
use serde_json::Value;

use super::failure::Failure;
use super::handlers;
use super::outbound::{Generation, Wait, Waited, Written};
use super::trace::Span;
use crate::gcs::Agent;
use crate::log;

/// A handler's success.
pub(super) struct Reply<P> {
    payload: P,
    written: Option<Written>,
}

impl<P> Reply<P> {
    /// Calls `written` once the answer has gone to the host.
    pub(super) fn and_when_written(payload: P, written: Written) -> Self {
        Self { payload, written: Some(written) }
    }
}

impl<P> From<P> for Reply<P> {
    fn from(payload: P) -> Self {
        Self { payload, written: None }
    }
}

type Outcome = Result<Reply<Value>, Failure>;
type Handling = Pin<Box<dyn Future<Output = Outcome>>>;

/// Decodes a request, runs its handler, encodes the payload of its answer.
fn run<M, F>(
    agent: Rc<Agent>,
    base: RequestBase,
    document: Value,
    handler: impl FnOnce(Rc<Agent>, RequestBase, M) -> F + 'static,
) -> Handling
where
    M: Request + 'static,
    F: Future<Output = Result<Reply<M::Response>, Failure>> + 'static,
{
    Box::pin(async move {
        let message = json::decode(M::TYPE.name().unwrap_or("a request"), &document)?;
        drop(document);
        let Reply { payload, written } = handler(agent, base, message).await?;
        let payload = serde_json::to_value(payload)
            .map_err(|error| Failure::text(HResult::FAIL, format!("encoding the answer: {error}")))?;
        Ok(Reply { payload, written })
    })
}

macro_rules! table {
    ($($handler:ident: $message:ty;)*) => {
        /// Starts the handler of a message; `None` if there is none.
        fn handle(agent: Rc<Agent>, message: MessageType, base: RequestBase, document: Value) -> Option<Handling> {
            match message {
                $(<$message as Request>::TYPE => Some(run::<$message, _>(agent, base, document, handlers::$handler::handle)),)*
                _ => None,
            }
        }
    };
}

// Messages that are missing here are answered with `NotImpl`, as is a second `NegotiateProtocol`.
table! {
    create: messages::Create;
    start: messages::Start;
    shutdown_graceful: messages::ShutdownGraceful;
    shutdown_forced: messages::ShutdownForced;
    execute_process: messages::ExecuteProcess;
    wait_for_process: messages::WaitForProcess;
    signal_process: messages::SignalProcess;
    resize_console: messages::ResizeConsole;
    get_properties: messages::GetProperties;
    modify_settings: messages::ModifySettings;
    dump_stacks: messages::DumpStacks;
    delete_container_state: messages::DeleteContainerState;
}

/// The request that an answer is for.
struct Asked {
    header: Header,
    /// Unknown if the request could not be decoded.
    container: Option<ContainerId>,
    activity: ActivityId,
}

/// Dispatches the requests of one connection.
pub(super) struct Dispatcher {
    agent: Rc<Agent>,
    generation: Generation,
    negotiated: bool,
}

impl Dispatcher {
    /// A dispatcher for a connection that has not negotiated yet.
    pub(super) fn new(agent: Rc<Agent>, generation: Generation) -> Self {
        Self { agent, generation, negotiated: false }
    }

    /// Handles one frame. Everything but the negotiation runs on a task of its own, so that requests overlap and
    /// answers go out in the order in which they are ready.
    pub(super) fn dispatch(&mut self, header: Header, body: &[u8]) {
        if self.negotiated {
            self.agent.outbound.requested(header.id);
        }
        let (base, document) = match decode(body) {
            Ok(decoded) => decoded,
            Err(failure) => {
                let asked = Asked { header, container: None, activity: ActivityId::default() };
                return self.answer(&asked, None, Err(failure));
            }
        };
        let wait = if self.negotiated { wait(header, &base, &document) } else { None };
        self.log_request(header, &document);
        if let Some(wait) = &wait {
            self.agent.outbound.waits(wait.on.clone());
        }
        self.agent.outbound.named(&base.container_id);
        let asked = Asked { header, container: Some(base.container_id.clone()), activity: base.activity_id };
        let span = Span::begin(base.trace.as_ref());
        let open = self.agent.requests.open(header.message_type, header.id, base.container_id.clone());
        if !self.negotiated
            && self.agent.options.protocol_v4
            && header.message_type == MessageType::NEGOTIATE_PROTOCOL
        {
            return self.negotiate(&asked, &document);
        }
        let handling = if self.negotiated {
            handle(Rc::clone(&self.agent), header.message_type, base, document)
        } else {
            None
        };
        let Some(handling) = handling else {
            return self.answer(&asked, None, Err(not_implemented(header.message_type)));
        };
        let answering = Self { agent: Rc::clone(&self.agent), ..*self };
        tokio::task::spawn_local(async move {
            // A task of its own: should it panic, the host still gets an answer, for it would wait five minutes
            // and then drop every container of the VM.
            let outcome = tokio::task::spawn_local(handling).await.unwrap_or_else(|_| {
                Err(Failure::text(HResult::FAIL, "the agent failed internally; see its log"))
            });
            if let Some(span) = span {
                span.end(header.message_type, outcome.is_err());
            }
            drop(open);
            answering.answer(&asked, wait, outcome);
        });
    }

    /// Whole requests are logged at the lowest level only, without what may be secret in them.
    fn log_request(&self, header: Header, document: &Value) {
        if !tracing::enabled!(tracing::Level::TRACE) {
            return;
        }
        let mut payload = document.clone();
        if self.agent.options.scrub_logs {
            log::scrub(&mut payload);
        }
        tracing::trace!(
            "message-type" = %header.message_type, "message-id" = header.id, %payload, "request"
        );
    }

    fn negotiate(&mut self, asked: &Asked, document: &Value) {
        let outcome = json::decode("NegotiateProtocol", document)
            .map_err(Failure::from)
            .and_then(handlers::negotiate_protocol::negotiate);
        self.negotiated = outcome.is_ok();
        let payload = outcome.and_then(|response| {
            serde_json::to_value(response).map_err(|error| Failure::text(HResult::FAIL, error.to_string()))
        });
        let agent = Rc::clone(&self.agent);
        let reply = |payload| Reply::and_when_written(payload, Box::new(move || agent.answered.notify_one()));
        self.answer(asked, None, payload.map(reply));
        if self.negotiated {
            self.agent.outbound.negotiated(asked.header.id);
        }
    }

    fn answer(&self, asked: &Asked, wait: Option<Wait>, outcome: Outcome) {
        let Asked { header, ref container, activity } = *asked;
        let (body, written) = match outcome {
            Ok(Reply { payload, written }) => {
                (Message { base: ResponseBase::success(activity), payload }.to_json(), written)
            }
            Err(failure) => {
                tracing::warn!(
                    "message-type" = %header.message_type, "message-id" = header.id, cid = container.as_ref().map(ContainerId::as_str),
                    result = %failure.result, error = failure.text, "request failed"
                );
                (serde_json::to_vec(&ResponseBase::failure(activity, failure.result, &failure.text)), None)
            }
        };
        let kind = header.message_type.response();
        let frame = body.ok().and_then(|body| frame::encode(kind, header.id, &body, MAX_TO_HOST).ok());
        let frame = frame.unwrap_or_else(|| {
            let base = ResponseBase::failure(activity, HResult::FAIL, "the answer is too large for a frame");
            let body = serde_json::to_vec(&base).unwrap_or_default();
            frame::encode(kind, header.id, &body, MAX_TO_HOST).unwrap_or_default()
        });
        self.agent.outbound.answer(self.generation, wait, frame, written);
    }
}

/// What a `WaitForProcess` waits for; `None` for other messages.
fn wait(header: Header, base: &RequestBase, document: &Value) -> Option<Wait> {
    if header.message_type != MessageType::WAIT_FOR_PROCESS {
        return None;
    }
    let message: messages::WaitForProcess = json::decode("WaitForProcess", document).ok()?;
    let on = Waited { container: base.container_id.clone(), process: message.process_id };
    Some(Wait { on, infinite: message.timeout_in_ms == messages::INFINITE })
}

fn decode(body: &[u8]) -> Result<(RequestBase, Value), Failure> {
    let document = json::parse(body)?;
    Ok((json::decode("the request's base", &document)?, document))
}

fn not_implemented(message: MessageType) -> Failure {
    let text = format!("HRESULT 0x80004001: bridge: function not supported, header type: {}", message.0);
    Failure::text(HResult::NOT_IMPL, text)
}
