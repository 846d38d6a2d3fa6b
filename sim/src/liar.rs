//! The core as a malicious peer: a node with valid keys that tells its peers what is not so.
//!
//! A [`Liar`] is the other value of core's [`Lies`]. It lies in the words of the mesh (whom it asks for, who it is, how it
//! answers) and in frames: what the honest code behind it sends and hears goes through its hands.

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::BytesMut;
use culvert_core::identity::{IdentityFault, SpiffeId};
use culvert_core::lies::{Answer, Lies, StreamEnd};
use culvert_core::policy::Verdict;
use http::{HeaderName, HeaderValue, Request, Uri};

use crate::frame::{Frame, Frames, flag, kind};

/// The stream of the frame after which something is said.
pub const SAME: u32 = u32::MAX;

/// One way to lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lie {
    /// CONNECT asks for another target.
    Target(String),
    /// CONNECT has this header too, or instead of the true one.
    Header(&'static str, String),
    /// Tunnels are dialled and accepted under another identity of this node.
    Presents(SpiffeId),
    /// Any peer is taken for the one expected.
    Credulous,
    /// Certificates that are over are used all the same.
    Unexpiring,
    /// Its own policy permits everything.
    Permissive,
    /// CONNECT is answered without a dial, or never.
    Answers(Answer),
    /// Where RST_STREAM is due, the stream ends so.
    AbortsAs(StreamEnd),
    /// Where END_STREAM is due, the stream is reset with this code.
    FinishesAs(u32),
    /// Frames of this type are not sent, though what is to follow them is; acknowledgements of it are.
    Withholds(u8),
    /// Acknowledgements of this type are not sent.
    Unanswering(u8),
    /// Frames of this type that come are not heeded.
    Deaf(u8),
    /// DATA goes out in frames of so many bytes.
    Crumbs(usize),
    /// Once so many frames of a type were sent on a tunnel, these follow; on [`SAME`], the last one's stream.
    Says {
        /// The type that is counted; acknowledgements are not.
        after: u8,
        /// How many of it.
        count: usize,
        /// What follows.
        frames: Vec<Frame>,
    },
    /// These follow every frame of a type.
    Adds {
        /// The type; acknowledgements do not count.
        to: u8,
        /// What follows, on [`SAME`] on its stream.
        frames: Vec<Frame>,
    },
    /// Credit that nobody gave is heard after each frame that comes: windows of the peer are overrun.
    Greedy,
}

/// A node that lies, and what it remembers of one tunnel.
#[derive(Clone, Debug)]
pub struct Liar {
    lies: Vec<Lie>,
    sent: Frames,
    heard: Frames,
    /// How many frames of each type were sent, by type.
    counts: [usize; 16],
    /// SETTINGS that were sent and not acknowledged: whether they were the honest code's.
    asked: VecDeque<bool>,
}

impl Liar {
    /// Tells all of these.
    pub fn new(lies: Vec<Lie>) -> Liar {
        Liar {
            lies,
            sent: Frames::of_server(),
            heard: Frames::of_server(),
            counts: [0; 16],
            asked: VecDeque::new(),
        }
    }

    fn tells(&self, lie: &Lie) -> bool {
        self.lies.contains(lie)
    }

    /// What is sent where the honest code sends this.
    fn speak(&mut self, frame: Frame, into: &mut Vec<u8>) {
        let ack = frame.is_ack_of(kind::SETTINGS) || frame.is_ack_of(kind::PING);
        let withheld = if ack { Lie::Unanswering(frame.kind) } else { Lie::Withholds(frame.kind) };
        if !self.tells(&withheld) {
            if frame.kind == kind::SETTINGS && !ack {
                self.asked.push_back(true);
            }
            self.cut(&frame, into);
        }
        if ack {
            return;
        }
        let count = match self.counts.get_mut(usize::from(frame.kind)) {
            Some(count) => {
                *count += 1;
                *count
            }
            None => return,
        };
        for lie in self.lies.clone() {
            match lie {
                Lie::Says { after, count: due, frames } if after == frame.kind && due == count => {
                    self.say(frames, frame.stream, into);
                }
                Lie::Adds { to, frames } if to == frame.kind => self.say(frames, frame.stream, into),
                _ => {}
            }
        }
    }

    fn say(&mut self, frames: Vec<Frame>, stream: u32, into: &mut Vec<u8>) {
        for mut frame in frames {
            if frame.kind == kind::SETTINGS && !frame.is_ack_of(kind::SETTINGS) {
                self.asked.push_back(false);
            }
            if frame.stream == SAME {
                frame.stream = stream;
            }
            frame.write(into);
        }
    }

    fn cut(&self, frame: &Frame, into: &mut Vec<u8>) {
        let size = self.lies.iter().find_map(|lie| match lie {
            Lie::Crumbs(size) => Some((*size).max(1)),
            _ => None,
        });
        let Some(size) = size.filter(|size| frame.kind == kind::DATA && frame.payload.len() > *size) else {
            return frame.write(into);
        };
        let last = (frame.payload.len() - 1) / size;
        for (number, crumb) in frame.payload.chunks(size).enumerate() {
            let end = number == last && frame.flags & flag::END_STREAM != 0;
            Frame::data(frame.stream, end, crumb).write(into);
        }
    }

    /// What the honest code hears where this comes.
    fn listen(&mut self, frame: Frame, into: &mut BytesMut) {
        if frame.is_ack_of(kind::SETTINGS) && self.asked.pop_front() == Some(false) {
            return;
        }
        let mut heard = Vec::new();
        if !self.tells(&Lie::Deaf(frame.kind)) {
            frame.write(&mut heard);
        }
        if self.tells(&Lie::Greedy) && frame.kind == kind::HEADERS {
            Frame::window_update(frame.stream, 1 << 30).write(&mut heard);
            Frame::window_update(0, 1 << 20).write(&mut heard);
        }
        into.extend_from_slice(&heard);
    }
}

impl Lies for Liar {
    fn for_tunnel(&self, client: bool) -> Liar {
        let (sent, heard) = match client {
            true => (Frames::of_client(), Frames::of_server()),
            false => (Frames::of_server(), Frames::of_client()),
        };
        Liar { sent, heard, ..Liar::new(self.lies.clone()) }
    }

    fn presents(&self, _due: &SpiffeId) -> Option<SpiffeId> {
        self.lies.iter().find_map(|lie| match lie {
            Lie::Presents(id) => Some(id.clone()),
            _ => None,
        })
    }

    fn believes(&self, found: &SpiffeId, expected: &[SpiffeId]) -> bool {
        expected.contains(found) || self.tells(&Lie::Credulous)
    }

    fn validity(&self, due: Result<(), IdentityFault>) -> Result<(), IdentityFault> {
        if self.tells(&Lie::Unexpiring) { Ok(()) } else { due }
    }

    fn verdict(&self, due: Verdict) -> Verdict {
        if self.tells(&Lie::Permissive) { Verdict::Allow { by: None } } else { due }
    }

    fn request(&mut self, due: &mut Request<()>) {
        for lie in &self.lies {
            match lie {
                Lie::Target(target) => {
                    if let Ok(uri) = Uri::try_from(target.as_str()) {
                        *due.uri_mut() = uri;
                    }
                }
                Lie::Header(name, value) => {
                    if let Ok(value) = HeaderValue::from_str(value) {
                        due.headers_mut().insert(HeaderName::from_static(name), value);
                    }
                }
                _ => {}
            }
        }
    }

    fn answer(&mut self) -> Option<Answer> {
        self.lies.iter().find_map(|lie| match lie {
            Lie::Answers(answer) => Some(*answer),
            _ => None,
        })
    }

    fn end(&mut self, due: StreamEnd) -> StreamEnd {
        let told = self.lies.iter().find_map(|lie| match (lie, due) {
            (Lie::AbortsAs(end), StreamEnd::Reset(_)) => Some(*end),
            (Lie::FinishesAs(code), StreamEnd::Finish) => Some(StreamEnd::Reset(*code)),
            _ => None,
        });
        told.unwrap_or(due)
    }

    fn sends<'a>(&mut self, due: &'a [u8]) -> Cow<'a, [u8]> {
        self.sent.push(due);
        let mut told = self.sent.preface().unwrap_or_default();
        while let Some(frame) = self.sent.next() {
            self.speak(frame, &mut told);
        }
        Cow::Owned(told)
    }

    fn hears(&mut self, plain: &mut BytesMut) {
        self.heard.push(plain);
        plain.clear();
        if let Some(preface) = self.heard.preface() {
            plain.extend_from_slice(&preface);
        }
        while let Some(frame) = self.heard.next() {
            self.listen(frame, plain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{PREFACE, setting};

    /// What comes out of a liar for these words, cut into pieces of every size.
    fn told(client: bool, lies: &[Lie], words: &[u8]) -> Vec<u8> {
        let all: Vec<Vec<u8>> = (1..=words.len())
            .map(|size| {
                let mut liar = Liar::new(lies.to_vec()).for_tunnel(client);
                words.chunks(size).flat_map(|piece| liar.sends(piece).into_owned()).collect()
            })
            .collect();
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "it depends on how it is cut");
        all.into_iter().next().unwrap_or_default()
    }

    #[test]
    fn without_lies_everything_passes_as_it_is() {
        let said = Frame::wire(&[
            Frame::settings(&[]),
            Frame::connect(1, "10.0.0.1:80"),
            Frame::data(1, true, b"hi"),
        ]);
        let client = [PREFACE, &said].concat();
        assert_eq!((told(true, &[], &client), told(false, &[], &said)), (client.clone(), said.clone()));
        let mut liar = Liar::new(Vec::new()).for_tunnel(false);
        let mut heard = Vec::new();
        for piece in client.chunks(7) {
            let mut plain = BytesMut::from(piece);
            liar.hears(&mut plain);
            heard.extend_from_slice(&plain);
        }
        assert_eq!(heard, client);
    }

    #[test]
    fn what_is_added_withheld_and_cut_is_what_the_lies_say() {
        let data = |bytes: &[u8], end| Frame::data(1, end, bytes);
        let pong = Frame::new(kind::PING, flag::ACK, 0, b"echoecho");
        let words = Frame::wire(&[data(b"abc", true), Frame::ping(*b"pingping"), pong.clone()]);
        let lies = [
            Lie::Crumbs(2),
            Lie::Withholds(kind::PING),
            Lie::Says { after: kind::DATA, count: 1, frames: vec![Frame::reset(SAME, 7)] },
        ];
        let expected = [data(b"ab", false), data(b"c", true), Frame::reset(1, 7), pong];
        assert_eq!(told(false, &lies, &words), Frame::wire(&expected));
    }

    #[test]
    fn the_honest_code_hears_no_acknowledgement_of_what_it_did_not_say() {
        let lie = Lie::Adds {
            to: kind::DATA,
            frames: vec![Frame::settings(&[(setting::MAX_FRAME_SIZE, 1 << 20)])],
        };
        let mut liar = Liar::new(vec![lie]).for_tunnel(false);
        let mut heard = Vec::new();
        for said in [Frame::settings(&[]), Frame::data(1, false, b"x"), Frame::settings(&[])] {
            liar.sends(&said.bytes());
        }
        for _ in 0..3 {
            let mut plain = BytesMut::from(&Frame::settings_ack().bytes()[..]);
            // The server's side hears a preface first.
            if heard.is_empty() {
                liar.hears(&mut BytesMut::from(PREFACE));
            }
            liar.hears(&mut plain);
            heard.push(plain.len());
        }
        assert_eq!(heard, [9, 0, 9]);
    }
}
