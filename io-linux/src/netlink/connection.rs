//! A netlink socket: requests out, acknowledgements and dumps in.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::NetlinkError;
use super::message::{Message, attribute, text};
use crate::sys;

/// Bytes of `struct nlmsghdr`.
pub(super) const HEADER: usize = 16;
/// The kernel answers within the request; waiting at all means that something is broken.
const PATIENCE: Duration = Duration::from_secs(5);
/// The kernel never makes a dump larger than this at once.
const RECEIVE_BUFFER: usize = 64 * 1024;
/// A dump that changes under us is asked for again this often.
const DUMP_ATTEMPTS: usize = 8;
/// `NLMSGERR_ATTR_MSG`: the kernel's reason in words.
const ERROR_TEXT: u16 = 1;

/// Which part of the kernel to talk to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    /// Links, addresses, routes and rules (`NETLINK_ROUTE`).
    Route,
    /// nf_tables (`NETLINK_NETFILTER`).
    Netfilter,
}

/// A connection to the kernel, in the namespace it was opened in.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

/// One message from the kernel: its type and its body, fixed header included.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) kind: u16,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    /// Opens a connection to the network namespace of the calling thread.
    pub(crate) fn open(protocol: Protocol) -> Result<Self, NetlinkError> {
        let number = match protocol {
            Protocol::Netfilter => libc::NETLINK_NETFILTER,
            Protocol::Route => libc::NETLINK_ROUTE,
        };
        let socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(number.into()))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        // Errors in words, and acknowledgements that do not repeat the request.
        sys::set_option(socket.as_fd(), libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, 1)?;
        sys::set_option(socket.as_fd(), libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, 1)?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; RECEIVE_BUFFER] })
    }

    /// Sends one request and waits for the kernel's word on it.
    pub(crate) fn request(&mut self, message: Message) -> Result<(), NetlinkError> {
        self.batch(std::slice::from_ref(&message))
    }

    /// Sends several messages in one go. Those that ask for an acknowledgement are waited for; the first refusal is the
    /// outcome of all. Whether the kernel takes all or nothing is the protocol's business.
    pub(crate) fn batch(&mut self, messages: &[Message]) -> Result<(), NetlinkError> {
        let first = self.sequence.wrapping_add(1);
        let mut wire = Vec::new();
        let mut expected = 0usize;
        for message in messages {
            self.sequence = self.sequence.wrapping_add(1);
            message.encode(self.sequence, &mut wire);
            expected += usize::from(i32::from(message.flags) & libc::NLM_F_ACK != 0);
        }
        self.send(&wire)?;
        while expected > 0 {
            for (sequence, reply) in self.receive()? {
                let Some(message) = messages.get(sequence.wrapping_sub(first) as usize) else { continue };
                if reply.kind == libc::NLMSG_ERROR as u16 {
                    judge(message, &reply.body)?;
                    expected = expected.saturating_sub(1);
                }
            }
        }
        Ok(())
    }

    /// Sends one request and collects all that comes back.
    pub(crate) fn dump(&mut self, message: &Message) -> Result<Vec<Reply>, NetlinkError> {
        for _ in 0..DUMP_ATTEMPTS {
            if let Some(replies) = self.dump_once(message)? {
                return Ok(replies);
            }
        }
        Err(NetlinkError::Io(io::Error::from(io::ErrorKind::ResourceBusy)))
    }

    /// `None` when the kernel says that things changed while it was telling (`NLM_F_DUMP_INTR`).
    fn dump_once(&mut self, message: &Message) -> Result<Option<Vec<Reply>>, NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let asked = self.sequence;
        let mut wire = Vec::new();
        message.encode(asked, &mut wire);
        self.send(&wire)?;
        let mut replies = Vec::new();
        let mut consistent = true;
        loop {
            for (flags, sequence, reply) in self.receive_flagged()? {
                if sequence != asked {
                    continue;
                }
                consistent &= i32::from(flags) & libc::NLM_F_DUMP_INTR == 0;
                match i32::from(reply.kind) {
                    libc::NLMSG_ERROR => {
                        judge(message, &reply.body)?;
                        return Ok(consistent.then_some(replies));
                    }
                    libc::NLMSG_DONE => {
                        // The end of a dump carries an error number, zero when all went well.
                        if !reply.body.is_empty() {
                            judge(message, &reply.body)?;
                        }
                        return Ok(consistent.then_some(replies));
                    }
                    _ => replies.push(reply),
                }
            }
        }
    }

    fn send(&self, wire: &[u8]) -> Result<(), NetlinkError> {
        let sent = self.socket.send(wire)?;
        if sent == wire.len() { Ok(()) } else { Err(io::Error::from(io::ErrorKind::WriteZero).into()) }
    }

    fn receive(&mut self) -> Result<impl Iterator<Item = (u32, Reply)>, NetlinkError> {
        Ok(self.receive_flagged()?.into_iter().map(|(_, sequence, reply)| (sequence, reply)))
    }

    fn receive_flagged(&mut self) -> Result<Vec<(u16, u32, Reply)>, NetlinkError> {
        let length = loop {
            match (&self.socket).read(&mut self.buffer) {
                Err(interrupted) if interrupted.kind() == io::ErrorKind::Interrupted => {}
                outcome => break outcome?,
            }
        };
        Ok(split(self.buffer.get(..length).unwrap_or_default()))
    }
}

/// Takes a datagram apart into (flags, sequence number, message).
fn split(mut datagram: &[u8]) -> Vec<(u16, u32, Reply)> {
    let mut messages = Vec::new();
    while let Some((header, _)) = datagram.split_first_chunk::<HEADER>() {
        let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, ..] = *header;
        let length = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
        let Some(body) = datagram.get(HEADER..length) else { break };
        let reply = Reply { kind: u16::from_ne_bytes([k0, k1]), body: body.to_vec() };
        messages.push((u16::from_ne_bytes([f0, f1]), u32::from_ne_bytes([s0, s1, s2, s3]), reply));
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    messages
}

/// Reads a `struct nlmsgerr`: zero is an acknowledgement.
fn judge(message: &Message, body: &[u8]) -> Result<(), NetlinkError> {
    let Some((errno, rest)) = body.split_first_chunk::<4>() else {
        return Err(NetlinkError::Malformed(message.what.clone()));
    };
    match i32::from_ne_bytes(*errno) {
        0 => Ok(()),
        errno => {
            // After the number comes the header of the request, then attributes that say more.
            let reason =
                rest.get(HEADER..).and_then(|attributes| attribute(attributes, ERROR_TEXT)).map(text);
            let source = io::Error::from_raw_os_error(errno.saturating_neg());
            Err(NetlinkError::Refused { what: message.what.clone(), source, reason })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    quickcheck! {
        fn any_datagram_is_taken_apart_without_panic(datagram: Vec<u8>) -> bool {
            split(&datagram).len() * HEADER <= datagram.len()
        }
    }

    #[test]
    fn a_refusal_carries_the_request_and_the_errno() {
        let message = Message::new("do it", 16, libc::NLM_F_ACK, &[]);
        let body = [(-libc::EPERM).to_ne_bytes().as_slice(), &[0; HEADER]].concat();
        let refused = judge(&message, &body).unwrap_err();
        assert_eq!(refused.errno(), Some(libc::EPERM));
        assert!(refused.to_string().starts_with("cannot do it: "), "{refused}");
        assert!(matches!(judge(&message, &[1]), Err(NetlinkError::Malformed(_))));
        assert!(judge(&message, &[0; 20]).is_ok());
    }

    #[test]
    fn the_loopback_is_in_the_dump_of_links() {
        let mut connection = Connection::open(Protocol::Route).unwrap();
        let links = Message::new("list links", libc::RTM_GETLINK, libc::NLM_F_DUMP, &[0; 16]);
        let names: Vec<_> = connection
            .dump(&links)
            .unwrap()
            .iter()
            .filter_map(|reply| attribute(reply.body.get(16..)?, libc::IFLA_IFNAME).map(text))
            .collect();
        assert!(names.iter().any(|name| name == "lo"), "{names:?}");
        let unknown = Message::new("ask nonsense", 9999, libc::NLM_F_ACK, &[0; 16]);
        assert!(connection.request(unknown).is_err());
    }
}
