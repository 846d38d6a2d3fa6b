use std::collections::BTreeSet;

use quickcheck::{Arbitrary, Gen, quickcheck};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Time {
    Time::START.after(SECOND * u32::try_from(seconds).unwrap())
}

fn service(number: u8) -> ServiceKey {
    ServiceKey::new("n", format!("s{number}"))
}

fn endpoint(number: u8) -> Uid {
    Uid::new(format!("e{number}"))
}

fn limits() -> Limits {
    Limits { outliers: 6, ..Limits::default() }
}

/// Fails until it is ejected; for how long.
fn eject(outliers: &mut Outliers, now: Time, number: u8) -> Duration {
    (0..3).find_map(|_| outliers.failed(now, &service(1), &endpoint(number), 10)).unwrap()
}

#[test]
fn an_endpoint_is_ejected_after_failures_in_a_row() {
    let mut outliers = Outliers::new(&limits());
    let (web, one) = (service(1), endpoint(1));
    for _ in 0..5 {
        assert_eq!(outliers.failed(at(0), &web, &one, 10), None);
        assert_eq!(outliers.failed(at(0), &web, &one, 10), None);
        outliers.succeeded(&web, &one);
    }
    assert!(outliers.services.is_empty(), "success leaves nothing to remember");
    assert_eq!(eject(&mut outliers, at(1), 1), 10 * SECOND);
    assert_eq!(outliers.failed(at(2), &web, &one, 10), None, "what was under way does not count");
    assert_eq!(outliers.shares(at(10), &web, 10), [(&one, 0)]);
    // Failures that lie long apart are not in a row.
    let two = endpoint(2);
    for minute in 0..9 {
        outliers.advance(at(600 * minute));
        assert_eq!(outliers.failed(at(600 * minute), &web, &two, 10), None);
    }
}

#[test]
fn ejections_grow_are_bounded_and_forgotten() {
    let mut outliers = Outliers::new(&limits());
    let mut now = at(0);
    let mut lasted = Vec::new();
    for _ in 0..8 {
        let lasts = eject(&mut outliers, now, 1);
        assert!(outliers.advance(now).is_empty());
        now = now.after(lasts);
        let back = Return { service: service(1), endpoint: endpoint(1) };
        assert_eq!(outliers.advance(now), [back]);
        lasted.push(lasts.as_secs());
    }
    assert_eq!(lasted, [10, 20, 40, 80, 160, 300, 300, 300]);
    assert!(outliers.advance(now.after(SECOND * 3600)).is_empty());
    assert_eq!((outliers.count, outliers.services.len(), outliers.next), (0, 0, None));
    assert_eq!(eject(&mut outliers, now.after(SECOND * 3600), 1).as_secs(), 10);
}

#[test]
fn an_endpoint_returns_gradually_and_one_failure_ejects_it_again() {
    let mut outliers = Outliers::new(&limits());
    let (web, one) = (service(1), endpoint(1));
    eject(&mut outliers, at(0), 1);
    let share = |outliers: &Outliers, seconds| {
        outliers.shares(at(seconds), &web, 10).first().map_or(WHOLE, |(_, share)| *share)
    };
    // Whether anybody says that time has passed or not.
    for told in [false, true] {
        if told {
            outliers.advance(at(10));
        }
        let shares: Vec<u64> = [9, 10, 11, 25, 39, 40, 50].map(|second| share(&outliers, second)).to_vec();
        assert_eq!(shares, [0, 1, 2, 32, 61, 64, 64].map(|share| if told && share == 0 { 1 } else { share }));
    }
    assert_eq!(outliers.failed(at(20), &web, &one, 10), Some(20 * SECOND));
    assert_eq!(share(&outliers, 39), 0);
    outliers.advance(at(40));
    outliers.advance(at(71));
    assert_eq!(share(&outliers, 71), WHOLE);
    assert_eq!(outliers.failed(at(72), &web, &one, 10), None, "back in its full share it has three chances");
    outliers.forget(&one);
    assert!(outliers.services.is_empty() && outliers.count == 0);
}

#[test]
fn where_more_than_half_are_ejected_all_are_used() {
    let mut outliers = Outliers::new(&limits());
    for number in 0..5 {
        eject(&mut outliers, at(0), number);
    }
    assert_eq!(outliers.shares(at(1), &service(1), 10).len(), 5);
    assert!(outliers.shares(at(1), &service(1), 9).is_empty(), "an endpoint went");
}

#[derive(Clone, Debug)]
enum Step {
    Fail(u8, u8),
    Succeed(u8, u8),
    Pass(u8),
    Forget(u8),
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Step {
        let (web, endpoint) = (u8::arbitrary(g) % 3, u8::arbitrary(g) % 8);
        match u8::arbitrary(g) % 16 {
            0..=9 => Step::Fail(web, endpoint),
            10 => Step::Succeed(web, endpoint),
            11..=14 => Step::Pass(u8::arbitrary(g)),
            _ => Step::Forget(endpoint),
        }
    }
}

#[test]
fn of_four_endpoints_that_fail_two_are_ejected() {
    let mut outliers = Outliers::new(&limits());
    let web = service(1);
    for _ in 0..9 {
        for number in 0..4 {
            outliers.failed(at(1), &web, &endpoint(number), 4);
        }
    }
    let ejected = outliers.services[&web].values().filter(|outlier| outlier.is_ejected(at(1))).count();
    assert_eq!(ejected, 2);
}

quickcheck! {
    fn half_of_a_service_is_never_ejected(steps: Vec<Step>, endpoints: u8) -> bool {
        let endpoints = usize::from(endpoints % 9);
        let mut outliers = Outliers::new(&limits());
        let mut now = at(0);
        steps.into_iter().all(|step| {
            let before: BTreeSet<ServiceKey> = outliers.services.keys().cloned().collect();
            match step {
                Step::Fail(web, number) => {
                    let lasts = outliers.failed(now, &service(web), &endpoint(number), endpoints);
                    if lasts.is_some_and(|lasts| lasts > Limits::default().ejection_max) { return false; }
                }
                Step::Succeed(web, number) => outliers.succeeded(&service(web), &endpoint(number)),
                Step::Pass(seconds) => {
                    now = now.after(SECOND * u32::from(seconds));
                    // One that returns is one that was known.
                    if !outliers.advance(now).iter().all(|back| before.contains(&back.service)) { return false; }
                }
                Step::Forget(number) => outliers.forget(&endpoint(number)),
            }
            let count: usize = outliers.services.values().map(BTreeMap::len).sum();
            count == outliers.count
                && count <= 6
                && outliers.services.values().all(|known| !known.is_empty())
                && outliers.services.values().all(|known| {
                    known.values().filter(|outlier| outlier.is_ejected(now)).count() * 2 <= endpoints
                })
        })
    }
}
