//! Liars and attackers, as they act and as they are seen.

use culvert_core::identity::SpiffeId;
use culvert_core::lies::{Answer, StreamEnd};

use super::super::plan::{Attack, Port, Tale};
use super::{SECOND, Stage};
use crate::frame::{Frame, PREFACE, kind, setting};
use crate::liar::Lie;
use crate::world::{AttackerId, Papers, Pod, Seen};

/// What an attacker may be sent at first, then in all.
const GRANTED: [usize; 2] = [1000, 1100];

/// An attack that was made.
#[derive(Debug)]
pub(super) struct Siege {
    attack: Attack,
    attackers: Vec<AttackerId>,
}

/// The lies of a tale.
pub(super) fn lies(tale: Tale) -> Vec<Lie> {
    let window = |size| vec![Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, size)])];
    let streams = |most| vec![Frame::settings(&[(setting::MAX_CONCURRENT_STREAMS, most)])];
    let after = |after, count, frames| Lie::Says { after, count, frames };
    match tale {
        Tale::AbortsAsFinish => vec![Lie::AbortsAs(StreamEnd::Finish)],
        Tale::AbortsAsRefused => vec![Lie::AbortsAs(StreamEnd::Reset(7))],
        Tale::Answerless => vec![Lie::Answers(Answer::Never)],
        Tale::Crumbs => vec![Lie::Crumbs(100)],
        Tale::DeafToGoaway => vec![Lie::Deaf(kind::GOAWAY)],
        Tale::FinishesAsReset => vec![Lie::FinishesAs(10)],
        Tale::Goaway => {
            vec![after(kind::HEADERS, 2, vec![Frame::goaway((1 << 31) - 1, 0), Frame::goaway(1, 0)])]
        }
        Tale::Greedy => vec![Lie::Greedy],
        Tale::Headers => vec![
            Lie::Header("forwarded", "for=10.0.1.1;host=other".into()),
            Lie::Header("baggage", "k8s.namespace.name=kube-system,service.name=a".into()),
        ],
        Tale::Identity => vec![Lie::Presents(somebody())],
        Tale::Settings => vec![
            after(kind::DATA, 2, window(0)),
            after(kind::DATA, 3, streams(1)),
            after(kind::HEADERS, 2, window(1)),
            after(kind::HEADERS, 3, [window(128 << 10), streams(50)].concat()),
        ],
        Tale::Target => vec![Lie::Target("10.0.2.2:15001".into())],
        Tale::Uncrediting => vec![Lie::Withholds(kind::WINDOW_UPDATE)],
    }
}

/// An identity that is nobody's in a scenario.
#[expect(clippy::expect_used, reason = "it is written here")]
fn somebody() -> SpiffeId {
    "spiffe://cluster.local/ns/default/sa/somebody".parse().expect("it is one")
}

impl Stage {
    pub(super) fn attack(&mut self, pod: usize, attack: Attack) {
        // What liars do to attackers is of no interest.
        let victim = self.host(pod % self.honest());
        let (Some(machine), Some(pod)) = (self.hosts.last().copied(), victim) else { return };
        let (count, papers) = match attack {
            Attack::Silent => (6, Papers::Plain),
            Attack::Garbage => (1, Papers::Plain),
            Attack::Forged => (1, Papers::Forged(somebody())),
            Attack::Crowd => (14, Papers::Valid(somebody())),
            _ => (1, Papers::Valid(somebody())),
        };
        let hbone = self.world.address(pod, 15008);
        let attackers: Vec<AttackerId> =
            (0..count).map(|_| self.world.attack(machine, hbone, &papers)).collect();
        for attacker in &attackers {
            self.speak(*attacker, attack, pod);
        }
        self.sieges.push(Siege { attack, attackers });
    }

    /// All that an attacker has to say at once.
    fn speak(&mut self, attacker: AttackerId, attack: Attack, pod: Pod) {
        match attack {
            Attack::Silent => return,
            Attack::Garbage => return self.world.say(attacker, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
            _ => {}
        }
        self.world.say(attacker, PREFACE);
        let first = match attack {
            Attack::Settings => Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, GRANTED[0] as u32)]),
            _ => Frame::settings(&[]),
        };
        self.world.say_frames(attacker, &[first, Frame::settings_ack()]);
        let frames = self.words(attacker, attack, pod);
        self.world.say_frames(attacker, &frames);
    }

    fn words(&mut self, attacker: AttackerId, attack: Attack, pod: Pod) -> Vec<Frame> {
        let to = |port: Port| (pod, port.number());
        let authority = |(pod, port)| self.world.address(pod, port).to_string();
        let echo = authority(to(Port::Echo));
        let connect = |stream| Frame::connect(stream, &echo);
        let odd = |count: u32| (0..count).map(|n| 1 + 2 * n);
        match attack {
            Attack::Continuation => {
                let first = Frame::new(kind::HEADERS, 0, 1, &connect(1).payload);
                let more = Frame::new(kind::CONTINUATION, 0, 1, &[]);
                std::iter::once(first).chain(std::iter::repeat_n(more, 600)).collect()
            }
            Attack::Empty => {
                let empty = std::iter::repeat_n(Frame::data(1, false, &[]), 500);
                std::iter::once(Frame::connect(1, &authority(to(Port::Slow)))).chain(empty).collect()
            }
            Attack::Goaway => vec![
                connect(1),
                Frame::goaway((1 << 31) - 1, 0),
                connect(3),
                Frame::goaway(0, 0),
                Frame::goaway(0, 11),
            ],
            Attack::Headers => vec![Frame::headers(
                1,
                &[
                    (":method", "CONNECT"),
                    (":authority", &echo),
                    ("forwarded", "for=10.0.1.1;host=other"),
                    ("baggage", "k8s.namespace.name=kube-system"),
                    ("x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/default/sa/p0"),
                ],
            )],
            Attack::Request => vec![Frame::headers(
                1,
                &[(":method", "GET"), (":scheme", "https"), (":authority", &echo), (":path", "/")],
            )],
            Attack::Reset => odd(300).flat_map(|stream| [connect(stream), Frame::reset(stream, 8)]).collect(),
            Attack::Settings => {
                let mut frames = vec![connect(1)];
                self.world.pardon(attacker);
                let words = self.world.signature(attacker, 5000);
                frames.push(Frame::data(1, false, &words));
                frames
            }
            Attack::Spoil => {
                odd(30).flat_map(|stream| [connect(stream), Frame::window_update(stream, 0)]).collect()
            }
            Attack::Target => {
                let own = authority((pod, 15001));
                let targets =
                    ["127.0.0.1:8080", "169.254.169.254:80", "10.0.9.9:8080", "[::1]:8080", own.as_str()];
                odd(5).zip(targets).map(|(stream, target)| Frame::connect(stream, target)).collect()
            }
            Attack::Forged => {
                vec![connect(1), Frame::data(1, true, &self.world.signature(attacker, 100))]
            }
            Attack::Crowd | Attack::Garbage | Attack::Silent => Vec::new(),
        }
    }

    /// Notes what became of the attacks so far, and goes on with those that have steps.
    pub(super) fn look_at_sieges(&mut self) {
        for number in 0..self.sieges.len() {
            let Siege { attack, attackers } = &self.sieges[number];
            let (attack, attackers) = (*attack, attackers.clone());
            for attacker in attackers {
                if attack == Attack::Settings {
                    self.look_at_window(attacker);
                } else if let Some(id) = self.suffered(attack, attacker) {
                    self.seen.insert(id);
                }
            }
        }
    }

    /// The id of an attack that was met as it should be.
    fn suffered(&self, attack: Attack, attacker: AttackerId) -> Option<&'static str> {
        let heard = self.world.heard(attacker);
        assert!(
            attack != Attack::Forged || heard.is_empty(),
            "S9: a key that nobody vouches for is talked to"
        );
        let goaway = heard.iter().rfind(|frame| frame.kind == kind::GOAWAY).and_then(Frame::code);
        let resets = heard.iter().filter(|frame| frame.kind == kind::RST_STREAM).count();
        let status = heard.iter().filter(|frame| frame.kind == kind::HEADERS).find_map(Frame::status);
        let (id, met) = match attack {
            Attack::Reset => ("A1", goaway == Some(11)),
            Attack::Spoil => ("A2", resets > 0 || goaway.is_some_and(|code| code != 0)),
            Attack::Continuation => ("A3", goaway.is_some_and(|code| code != 0)),
            Attack::Empty => ("A5", goaway.is_some_and(|code| code != 0) || status == Some(200)),
            Attack::Silent | Attack::Crowd => ("A9", self.world.standing(attacker) == Seen::Reset),
            Attack::Target => ("A22", status.is_some_and(|status| status >= 400)),
            Attack::Headers => ("A24", status.is_some()),
            Attack::Goaway => ("D11", status == Some(200)),
            Attack::Request => ("A23", resets > 0 || status.is_some_and(|status| status >= 400)),
            Attack::Forged | Attack::Garbage | Attack::Settings => return None,
        };
        met.then_some(id)
    }

    /// Once the first window is used up it becomes smaller, so that the stream's is below zero; credit makes up for that first.
    fn look_at_window(&mut self, attacker: AttackerId) {
        let data = self.world.heard(attacker).iter().filter(|frame| frame.kind == kind::DATA);
        let sent: usize = data.map(|frame| frame.payload.len()).sum();
        assert!(sent <= GRANTED[1], "D12: {sent} bytes were sent where {} were granted", GRANTED[1]);
        if sent == GRANTED[1] {
            self.seen.insert("D12");
        }
        if sent == GRANTED[0] && !self.narrowed.contains(&attacker) {
            self.narrowed.push(attacker);
            let narrow = Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 200)]);
            // 800 below zero, and then 100 above.
            self.world.say_frames(attacker, &[narrow, Frame::window_update(1, 900)]);
            self.world.run(SECOND);
        }
    }

    /// Pods whose nodes are honest; they come first.
    pub(super) fn honest(&self) -> usize {
        self.pods - usize::from(self.liar.is_some())
    }

    /// Attackers leave, and so does the liar.
    pub(super) fn rout(&mut self) {
        let attackers: Vec<AttackerId> =
            self.sieges.iter().flat_map(|siege| siege.attackers.iter().copied()).collect();
        attackers.into_iter().for_each(|attacker| self.world.withdraw(attacker));
        if let Some(liar) = self.liar.filter(|liar| !self.world.is_dead(*liar)) {
            self.world.kill(liar);
        }
    }

    /// Whether somebody here means harm.
    pub(super) fn is_hostile(&self) -> bool {
        self.liar.is_some() || !self.sieges.is_empty() || !self.tricksters().is_empty()
    }
}
