//! Where a plan's choices come from: bytes, or a vector of digits that is counted through.

use std::time::Duration;

use arbitrary::Unstructured;

/// Takes choices off bytes, or off a vector, which then says by which bytes it would have been the same.
pub(in crate::scenario) struct Choices<'a>(Source<'a>);

enum Source<'a> {
    Bytes(Unstructured<'a>),
    Vector(&'a mut Vector),
}

/// A choice that an enumeration knows by name. Of all others it takes the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::scenario) enum Digit {
    /// What an attacker does.
    Attack,
    /// How many bytes a call sends.
    Bytes,
    /// What changes, of facts, credentials and clocks.
    Change,
    /// Whether something of that kind changes, or anything else goes wrong.
    Class,
    /// Whether a node hears of no facts any more, or late.
    Deaf,
    /// Which endpoints the service has.
    Endpoints,
    /// By how much a clock jumps.
    Jump,
    /// How long a segment takes.
    Latency,
    /// How many there are of what is scarce.
    Most,
    /// Which pod, and which node: twice for each fault.
    Place,
    /// How an application reads.
    Reading,
    /// What a call does.
    Script,
    /// How long a round lasts.
    Time,
    /// What is wrong with a credential.
    Wrong,
}

/// The seed of every enumerated world.
const SEED: u64 = 1;

impl Digit {
    /// Which of the possible choices are taken, in this order.
    fn alphabet(self) -> &'static [usize] {
        match self {
            // Streams that are opened and reset.
            Digit::Attack => &[8],
            // 4,000.
            Digit::Bytes => &[5],
            // One of each kind.
            Digit::Change => &[0, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13],
            Digit::Class => &[0, 2],
            Digit::Deaf | Digit::Place => &[0, 1],
            // None, and none that is healthy.
            Digit::Endpoints => &[1, 3],
            // A year, back and forth.
            Digit::Jump => &[0, 6],
            // One millisecond.
            Digit::Latency => &[999],
            Digit::Most => &[1],
            // Without delay.
            Digit::Reading => &[2],
            // Sends, and keeps the connection.
            Digit::Script => &[2],
            // 10 ms and 8 s.
            Digit::Time => &[1, 6],
            // Over, and of another key.
            Digit::Wrong => &[0, 2],
        }
    }
}

/// A vector of choices that is under way: what was chosen, and what could have been.
#[derive(Debug, Default)]
pub(in crate::scenario) struct Vector {
    /// What is chosen, as positions in the alphabets; after the last, the first of each.
    wanted: Vec<usize>,
    /// So many choices are free.
    depth: usize,
    /// How many there were to choose from, of each choice so far that is free.
    pub(in crate::scenario) arities: Vec<usize>,
    /// The first of two choices that are one.
    place: Option<usize>,
    /// The bytes that say the same.
    pub(in crate::scenario) bytes: Vec<u8>,
}

impl Vector {
    pub(in crate::scenario) fn new(wanted: Vec<usize>, depth: usize) -> Vector {
        Vector { wanted, depth, ..Vector::default() }
    }

    /// A position below `arity`.
    fn position(&mut self, arity: usize) -> usize {
        let at = self.arities.len();
        if arity < 2 || at >= self.depth {
            return 0;
        }
        self.arities.push(arity);
        self.wanted.get(at).copied().unwrap_or(0)
    }

    /// Takes one of `alphabet`, of what is below `of`.
    fn take(&mut self, alphabet: &[usize], of: usize) -> usize {
        let position = self.position(alphabet.len());
        let value = alphabet.get(position).copied().unwrap_or(0);
        self.write(value, of);
        value
    }

    fn digit(&mut self, digit: Digit, of: usize) -> usize {
        if digit != Digit::Place {
            return self.take(digit.alphabet(), of);
        }
        match self.place.take() {
            Some(first) => self.take(&[first], of),
            None => {
                let value = self.take(digit.alphabet(), of);
                self.place = Some(value);
                value
            }
        }
    }

    /// As many bytes as `int_in_range` reads where there are `of` values, the highest first.
    fn write(&mut self, value: usize, of: usize) {
        let most = of.saturating_sub(1);
        let bytes = (usize::BITS - most.leading_zeros()).div_ceil(8) as usize;
        let all = value.to_be_bytes();
        self.bytes.extend(all.iter().skip(all.len() - bytes));
    }
}

impl<'a> Choices<'a> {
    pub(in crate::scenario) fn of_bytes(bytes: &'a [u8]) -> Choices<'a> {
        Choices(Source::Bytes(Unstructured::new(bytes)))
    }

    pub(in crate::scenario) fn of_vector(vector: &'a mut Vector) -> Choices<'a> {
        Choices(Source::Vector(vector))
    }

    /// Nothing is left to choose by.
    pub(super) fn is_over(&self) -> bool {
        match &self.0 {
            Source::Bytes(bytes) => bytes.is_empty(),
            Source::Vector(_) => false,
        }
    }

    pub(super) fn seed(&mut self) -> u64 {
        match &mut self.0 {
            Source::Bytes(bytes) => bytes.arbitrary().unwrap_or(0),
            Source::Vector(vector) => {
                vector.bytes.extend(SEED.to_le_bytes());
                SEED
            }
        }
    }

    /// One of `of`, which an enumeration leaves at the first.
    pub(super) fn below(&mut self, of: usize) -> usize {
        match &mut self.0 {
            Source::Bytes(bytes) => bytes.int_in_range(0..=of.saturating_sub(1)).unwrap_or(0),
            Source::Vector(vector) => vector.take(&[0], of),
        }
    }

    /// One of `of`, which an enumeration goes through.
    pub(super) fn digit(&mut self, digit: Digit, of: usize) -> usize {
        match &mut self.0 {
            Source::Bytes(_) => self.below(of),
            Source::Vector(vector) => vector.digit(digit, of),
        }
    }

    /// One of a menu by number; an enumeration goes through all that differ.
    pub(super) fn among<T: PartialEq>(&mut self, menu: &[T]) -> usize {
        let Source::Vector(vector) = &mut self.0 else { return self.below(menu.len()) };
        let is_first = |(at, item): &(usize, &T)| menu.iter().position(|other| other == *item) == Some(*at);
        let alphabet: Vec<usize> = menu.iter().enumerate().filter(is_first).map(|(at, _)| at).collect();
        vector.take(&alphabet, menu.len())
    }

    pub(super) fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == of - 1
    }

    pub(super) fn of<T: Copy, const N: usize>(&mut self, among: [T; N]) -> T {
        among[self.below(N)]
    }

    /// As [`Choices::of`], where an enumeration goes through some.
    pub(super) fn digit_of<T: Copy, const N: usize>(&mut self, digit: Digit, among: [T; N]) -> T {
        among[self.digit(digit, N)]
    }

    pub(super) fn millis(&mut self, below: usize) -> Duration {
        Duration::from_millis(self.below(below) as u64)
    }
}
