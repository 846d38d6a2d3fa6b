//! What rotation promises, each sentence as a property.

use std::collections::BTreeMap;

use quickcheck::{TestResult, quickcheck};

use super::*;

/// What a credential is to rotation, with a number that tells it from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Paper(u64, u64, u64);

impl Validity for Paper {
    fn not_before(&self) -> WallTime {
        WallTime::from_unix_secs(self.0)
    }

    fn not_after(&self) -> WallTime {
        WallTime::from_unix_secs(self.1)
    }
}

const WALL: u64 = 2_000_000_000;
const HOUR: u64 = 3600;

fn id(number: usize) -> SpiffeId {
    SpiffeId::new("cluster.local", "x", &format!("sa-{number}")).unwrap()
}

fn refusal() -> IdentityFault {
    IdentityFault::Unavailable("away".into())
}

/// A rotation with its clocks and the fetches that nobody has answered.
struct Scene {
    rotation: Rotation<Paper>,
    now: Now,
    open: Vec<(SpiffeId, FetchId, Demand)>,
    said: Vec<Output<Paper>>,
    papers: u64,
}

impl Scene {
    fn new(seed: u8) -> Scene {
        let now = Now { time: Time::START, wall: WallTime::from_unix_secs(WALL) };
        let rotation = Rotation::new(RotationConfig::default(), &Seed::new([seed; 32]), now);
        Scene { rotation, now, open: Vec::new(), said: Vec::new(), papers: 0 }
    }

    fn tell(&mut self, input: Input<Paper>) {
        self.rotation.handle_input(self.now, input);
        while let Some(output) = self.rotation.poll_output() {
            if let Output::Fetch { id, fetch, demand } = &output {
                self.open.push((id.clone(), *fetch, *demand));
            }
            self.said.push(output);
        }
    }

    fn want(&mut self, number: usize, demand: Demand) {
        self.tell(Input::Wanted { id: id(number), demand });
    }

    /// Time passes, on both clocks.
    fn pass(&mut self, time: Duration) {
        let seconds = |time: Time| time.since(Time::START).as_secs();
        let later = self.now.time.after(time);
        let wall = self.now.wall.as_unix_secs() + seconds(later) - seconds(self.now.time);
        self.now = Now { time: later, wall: WallTime::from_unix_secs(wall) };
    }

    fn jump(&mut self, seconds: i64) {
        self.now.wall = WallTime::from_unix_secs(self.now.wall.as_unix_secs().saturating_add_signed(seconds));
    }

    /// Time passes until the next deadline, which is then kept.
    fn sleep(&mut self) -> Duration {
        let at = self.rotation.next_deadline().map_or(self.now.time, |deadline| deadline.at);
        let slept = at.since(self.now.time);
        self.pass(slept);
        self.tell(Input::Tick);
        slept
    }

    /// Sleeps until something is fetched; how long that took.
    fn until_fetch(&mut self) -> Duration {
        let start = self.now.time;
        for _ in 0..100_000 {
            if !self.open.is_empty() {
                break;
            }
            self.sleep();
        }
        self.now.time.since(start)
    }

    fn answer(&mut self, outcome: Result<(u64, u64), IdentityFault>) -> SpiffeId {
        let (id, fetch, _) = self.open.remove(0);
        self.papers += 1;
        let outcome = outcome.map(|(begin, end)| Paper(begin, end, self.papers));
        self.tell(Input::Fetched { id: id.clone(), fetch, outcome });
        id
    }

    /// Answers with a certificate of that life that begins now.
    fn issue(&mut self, life: u64) -> SpiffeId {
        let now = self.now.wall.as_unix_secs();
        self.answer(Ok((now, now + life)))
    }

    fn last(&self) -> &Output<Paper> {
        self.said.last().expect("something was said")
    }
}

fn near(is: Duration, low: f64, high: f64) -> bool {
    (low - 0.001..=high + 1.001).contains(&is.as_secs_f64())
}

quickcheck! {
    fn renewed_at_half_of_its_life_or_up_to_a_tenth_sooner(seed: u8, life: u32, age: u8) -> TestResult {
        let life = u64::from(life % 1_000_000) + 60;
        let age = life * u64::from(age) / 512;
        let mut scene = Scene::new(seed);
        scene.want(1, Demand::WarmUp);
        let now = scene.now.wall.as_unix_secs();
        scene.answer(Ok((now - age, now - age + life)));
        let left = (life / 2).saturating_sub(age);
        if left == 0 {
            return TestResult::discard();
        }
        let slept = scene.until_fetch();
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let left = left as f64;
        TestResult::from_bool(near(slept, left * 0.9, left) && scene.open[0].2 == Demand::Background)
    }

    fn failures_double_the_wait_to_its_bound(seed: u8) -> bool {
        let mut scene = Scene::new(seed);
        scene.want(1, Demand::WarmUp);
        (0..14).all(|failures| {
            scene.answer(Err(refusal()));
            let due = 2_f64.powi(failures).min(150.0);
            let slept = scene.until_fetch().as_secs_f64();
            (due * 0.799..=due * 1.201).contains(&slept)
        })
    }

    fn a_connection_that_waits_breaks_the_back_off_and_a_workload_that_warms_up_does_not(failures: u8) -> bool {
        let mut scene = Scene::new(failures);
        scene.want(1, Demand::WarmUp);
        for _ in 0..5 + failures % 10 {
            scene.answer(Err(refusal()));
            scene.until_fetch();
        }
        scene.answer(Err(refusal()));
        scene.pass(Duration::from_secs(1));
        scene.want(1, Demand::WarmUp);
        let patient = scene.open.is_empty();
        scene.want(1, Demand::RealTime);
        patient && scene.open.len() == 1 && scene.open[0].2 == Demand::RealTime
    }

    fn connections_that_wait_do_not_make_a_storm_of_a_source_that_refuses(seed: u8) -> bool {
        let mut scene = Scene::new(seed);
        let mut fetches = 0;
        for _ in 0..1000 {
            scene.want(1, Demand::RealTime);
            scene.tell(Input::Tick);
            while !scene.open.is_empty() {
                fetches += 1;
                scene.answer(Err(refusal()));
            }
            scene.pass(Duration::from_millis(1));
        }
        (9..=11).contains(&fetches)
    }

    fn a_failed_renewal_keeps_what_is_valid_and_is_tried_again_before_its_end(seed: u8, life: u16) -> bool {
        let life = u64::from(life) + 120;
        let mut scene = Scene::new(seed);
        scene.want(1, Demand::RealTime);
        scene.issue(life);
        let end = scene.now.wall.as_unix_secs() + life;
        loop {
            scene.until_fetch();
            let valid = scene.now.wall.as_unix_secs() <= end;
            scene.answer(Err(refusal()));
            let Output::Failed { serving, .. } = scene.last() else { return false };
            if *serving != valid || scene.rotation.serving(&id(1), scene.now.wall).is_some() != valid {
                return false;
            }
            if !valid {
                return true;
            }
            let left = Duration::from_secs(end - scene.now.wall.as_unix_secs());
            if scene.until_fetch() > left.max(Duration::from_millis(1200)) {
                return false;
            }
        }
    }

    fn eight_are_fetched_at_a_time_and_the_most_wanted_first(demands: Vec<u8>) -> bool {
        let mut scene = Scene::new(1);
        for number in 0..8 {
            scene.want(100 + number, Demand::WarmUp);
        }
        for (number, demand) in demands.iter().enumerate() {
            scene.want(number, if demand % 2 == 0 { Demand::RealTime } else { Demand::WarmUp });
        }
        if scene.open.len() != 8 {
            return false;
        }
        let mut order = Vec::new();
        while !scene.open.is_empty() {
            let most = scene.open.len() <= 8 && scene.rotation.fetching() == scene.open.len();
            order.push(scene.open[0].2);
            scene.issue(HOUR);
            if !most {
                return false;
            }
        }
        let order = order.get(8..).unwrap_or_default();
        order.len() == demands.len() && order.is_sorted_by(|a, b| a >= b)
    }

    fn a_clock_that_jumps_makes_no_storm(seed: u8, jump: i32, count: u8) -> bool {
        let count = usize::from(count % 64) + 1;
        let mut scene = Scene::new(seed);
        for number in 0..count {
            scene.want(number, Demand::WarmUp);
        }
        while !scene.open.is_empty() {
            scene.issue(24 * HOUR);
        }
        scene.pass(Duration::from_secs(HOUR));
        scene.tell(Input::Tick);
        scene.jump(i64::from(jump));
        // The authority's clock is right, so that what it issues may be over by ours.
        let honest = WALL + HOUR;
        let mut fetches = BTreeMap::<SpiffeId, u32>::new();
        for _ in 0..600 {
            scene.pass(Duration::from_millis(100));
            scene.tell(Input::Tick);
            while !scene.open.is_empty() {
                let id = scene.answer(Ok((honest, honest + 24 * HOUR)));
                *fetches.entry(id).or_default() += 1;
            }
        }
        // A minute at an exponential back-off has room for seven tries.
        let few = fetches.values().all(|times| *times <= 7);
        few && (jump > 0 || fetches.is_empty())
    }
}

#[test]
fn a_jump_past_the_end_renews_all_soon_but_not_at_once() {
    let mut scene = Scene::new(3);
    for number in 0..50 {
        scene.want(number, Demand::WarmUp);
    }
    while !scene.open.is_empty() {
        scene.issue(24 * HOUR);
    }
    scene.jump(48 * 3600);
    scene.tell(Input::Tick);
    assert_eq!(scene.open.len(), 0, "spread over seconds");
    let (mut most, mut renewed) = (0, 0);
    for _ in 0..120 {
        scene.pass(Duration::from_millis(100));
        scene.tell(Input::Tick);
        most = most.max(scene.open.len());
        while !scene.open.is_empty() {
            scene.issue(24 * HOUR);
            renewed += 1;
        }
    }
    assert_eq!(renewed, 50);
    assert!(most <= 8, "{most} at a time");
}

#[test]
fn a_jump_is_noticed_within_a_minute_though_nothing_else_happens() {
    let mut scene = Scene::new(3);
    scene.want(1, Demand::WarmUp);
    scene.issue(24 * HOUR);
    scene.jump(13 * 3600);
    let slept = scene.until_fetch();
    assert!(slept <= Duration::from_secs(71), "{slept:?}");
}

#[test]
fn keys_go_with_the_last_workload_and_late_answers_bring_none_back() {
    let mut scene = Scene::new(1);
    scene.want(1, Demand::WarmUp);
    scene.issue(HOUR);
    scene.tell(Input::Renew);
    scene.tell(Input::Dropped { id: id(1) });
    assert_eq!(scene.last(), &Output::Drop { id: id(1) });
    assert!(scene.rotation.serving(&id(1), scene.now.wall).is_none());
    scene.issue(HOUR);
    assert_eq!(scene.last(), &Output::Drop { id: id(1) }, "nobody is served");
    assert_eq!((scene.rotation.fetching(), scene.rotation.next_deadline()), (0, None));
    // Another workload of that identity begins anew, and the old answer is not its.
    scene.tell(Input::Renew);
    scene.want(1, Demand::WarmUp);
    let now = scene.now.wall.as_unix_secs();
    scene.tell(Input::Fetched { id: id(1), fetch: FetchId(1), outcome: Ok(Paper(now, now + HOUR, 9)) });
    assert!(scene.rotation.serving(&id(1), scene.now.wall).is_none());
}

#[test]
fn a_source_that_hangs_delays_only_itself() {
    let mut scene = Scene::new(1);
    for number in 0..9 {
        scene.want(number, Demand::RealTime);
    }
    let hanging: Vec<_> = scene.open.drain(..).collect();
    assert_eq!(hanging.len(), 8);
    scene.sleep();
    assert_eq!(scene.open.len(), 1, "the ninth has its turn once those are given up");
    let (late, fetch, _) = hanging[0].clone();
    let now = scene.now.wall.as_unix_secs();
    let paper = Paper(now, now + HOUR, 7);
    scene.tell(Input::Fetched { id: late.clone(), fetch, outcome: Ok(paper) });
    assert_eq!(scene.last(), &Output::Serve { id: late, credential: paper }, "late, and better than none");
}

#[test]
fn what_came_old_is_not_asked_for_again_at_once() {
    let mut scene = Scene::new(1);
    scene.want(1, Demand::RealTime);
    let now = scene.now.wall.as_unix_secs();
    let mut fetches = 0;
    while scene.now.time < Time::START.after(Duration::from_secs(60)) {
        scene.until_fetch();
        scene.answer(Ok((now - HOUR, now + 1000)));
        fetches += 1;
    }
    assert!(fetches <= 8, "{fetches} in a minute");
}

#[test]
fn one_of_the_future_serves_only_where_none_is_valid() {
    let mut scene = Scene::new(1);
    scene.want(1, Demand::RealTime);
    let now = scene.now.wall.as_unix_secs();
    scene.answer(Ok((now + 100, now + HOUR)));
    assert!(matches!(scene.last(), Output::Serve { .. }), "clocks differ");
    scene.want(2, Demand::RealTime);
    scene.issue(HOUR);
    scene.tell(Input::Renew);
    scene.open.retain(|(of, ..)| *of == id(2));
    scene.answer(Ok((now + 100, now + 2 * HOUR)));
    let fault =
        IdentityFault::NotYetValid { not_before: WallTime::from_unix_secs(now + 100), now: scene.now.wall };
    assert_eq!(scene.last(), &Output::Failed { id: id(2), fault, serving: true });
    scene.until_fetch();
    scene.answer(Ok((now - HOUR, now - 1)));
    assert!(matches!(scene.last(), Output::Failed { serving: true, .. }), "one that is over never serves");
}

quickcheck! {
    /// Whatever happens in whatever order: never more than the most at a time, nothing past its end, nothing for who is gone.
    fn any_history_keeps_the_rules(seed: u8, steps: Vec<(u8, u16)>) -> bool {
        let mut scene = Scene::new(seed);
        let mut wanted = std::collections::BTreeSet::new();
        for (step, of) in steps {
            let number = usize::from(of % 12);
            let said = scene.said.len();
            match step % 8 {
                0 => { wanted.insert(id(number)); scene.want(number, Demand::RealTime); }
                1 => { wanted.insert(id(number)); scene.want(number, Demand::WarmUp); }
                2 => { wanted.remove(&id(number)); scene.tell(Input::Dropped { id: id(number) }); }
                3 if !scene.open.is_empty() => { scene.issue(u64::from(of) + 1); }
                4 if !scene.open.is_empty() => { scene.answer(Err(refusal())); }
                5 => { scene.jump(i64::from(of) * 300 - 5_000_000); scene.tell(Input::Tick); }
                6 => scene.tell(Input::Renew),
                _ => { scene.sleep(); }
            }
            let wall = scene.now.wall;
            let fair = scene.said[said..].iter().all(|output| match output {
                Output::Fetch { id, .. } | Output::Failed { id, .. } => wanted.contains(id),
                Output::Serve { id, credential } => wanted.contains(id) && wall <= credential.not_after(),
                Output::Drop { id } => !wanted.contains(id),
            });
            let known = scene.rotation.identities().eq(wanted.iter());
            if !fair || !known || scene.rotation.fetching() > 8 {
                return false;
            }
        }
        true
    }
}
