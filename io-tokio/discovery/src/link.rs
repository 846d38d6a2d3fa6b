//! One stream to the control plane.

use culvert_channel::{ConnectError, Connector, MAX_MESSAGE_BYTES};
use culvert_core::xds::{Closed, Response};
use culvert_proto::delta;
use culvert_proto::discovery::DeltaDiscoveryRequest;
use culvert_proto::discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use h2::Reason;
use std::error::Error;
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Status};

/// How many responses wait decoded; beyond them the control plane is not read from.
const RESPONSES: usize = 1;

/// What happened on a stream.
pub(crate) enum Happened {
    Closed(Closed),
    Connected,
    Response(Response),
    /// A response of a kind that was not asked for.
    Unexpected(String),
}

/// A stream, or the attempt at one. Dropping it ends it.
pub(crate) struct Link {
    pub(crate) requests: UnboundedSender<DeltaDiscoveryRequest>,
    happened: Receiver<Happened>,
    task: JoinHandle<()>,
}

impl Link {
    pub(crate) fn open(connector: Connector) -> Link {
        let (requests, outbox) = unbounded_channel();
        let (told, happened) = channel(RESPONSES);
        let task = tokio::spawn(async move {
            let why = converse(connector, outbox, &told).await;
            let _dropped = told.send(Happened::Closed(why)).await;
        });
        Link { requests, happened, task }
    }

    /// The next thing that happens; after its end, nothing ever.
    pub(crate) async fn next(&mut self) -> Happened {
        match self.happened.recv().await {
            Some(happened) => happened,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(
    connector: Connector,
    outbox: UnboundedReceiver<DeltaDiscoveryRequest>,
    told: &Sender<Happened>,
) -> Closed {
    let channel = match connector.connect().await {
        Ok(channel) => channel,
        Err(error) => return Closed::Failed(unreachable(&error).into()),
    };
    // A control plane may answer only after it was asked: the session must not wait for that before it asks.
    if told.send(Happened::Connected).await.is_err() {
        return Closed::Recycled;
    }
    let mut client =
        AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let mut answers = match client.delta_aggregated_resources(UnboundedReceiverStream::new(outbox)).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => return ended(&status),
    };
    loop {
        let happened = match answers.message().await {
            Ok(Some(message)) => match delta::response(message) {
                Ok(response) => Happened::Response(response),
                Err(error) => Happened::Unexpected(error.to_string()),
            },
            Ok(None) => return Closed::Recycled,
            Err(status) => return ended(&status),
        };
        if told.send(happened).await.is_err() {
            return Closed::Recycled;
        }
    }
}

fn unreachable(error: &ConnectError) -> String {
    error.to_string()
}

/// Whether a stream ended in good order (node.md row 76): the control plane said so, with a status of its own or a GOAWAY. What
/// goes wrong on this side of it has a source.
fn ended(status: &Status) -> Closed {
    let Some(source) = status.source() else {
        return match status.code() {
            Code::Unknown | Code::Cancelled | Code::DeadlineExceeded | Code::Ok => Closed::Recycled,
            _ => Closed::Failed(format!("{}: {}", status.code(), status.message()).into()),
        };
    };
    let (mut next, mut why) = (Some(source), status.message().to_owned());
    while let Some(error) = next {
        if let Some(http2) = error.downcast_ref::<h2::Error>()
            && http2.is_go_away()
            && http2.is_remote()
            && http2.reason() == Some(Reason::NO_ERROR)
        {
            return Closed::Recycled;
        }
        why = error.to_string();
        next = error.source();
    }
    Closed::Failed(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_control_plane_says_is_its_end_is_orderly_and_what_is_said_here_is_not() {
        for code in [Code::Unknown, Code::Cancelled, Code::DeadlineExceeded] {
            assert_eq!(ended(&Status::new(code, "recycled")), Closed::Recycled);
        }
        for code in [Code::Unavailable, Code::Unauthenticated, Code::Internal] {
            assert!(matches!(ended(&Status::new(code, "no")), Closed::Failed(_)));
        }
        let broken = std::io::Error::new(std::io::ErrorKind::BrokenPipe, "broken");
        assert_eq!(ended(&Status::from_error(Box::new(broken))), Closed::Failed("broken".into()));
        let goaway = |reason: Reason| ended(&Status::from_error(Box::new(h2::Error::from(reason))));
        // One that was made here, not received.
        assert!(matches!(goaway(Reason::NO_ERROR), Closed::Failed(_)));
    }
}
