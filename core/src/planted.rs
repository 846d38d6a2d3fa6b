//! Bugs planted on purpose, each of which a law, an exploration or a test must notice.
//!
//! **Internal**: for the simulator, the fuzz targets and the tests of this workspace; no part of the interface, and may change
//! with any version.
//!
//! They exist only where the whole build has `--cfg culvert_bugs`; elsewhere this file is empty and `planted!` is nothing. A
//! process has at most one of them: the one that the environment variable `CULVERT_BUG` names when it is first asked for.
#![cfg(culvert_bugs)]

use std::env;
use std::fmt::Debug;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable that names the bug of a process.
pub const VARIABLE: &str = "CULVERT_BUG";

/// What looks for a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hunter {
    /// A test of this crate, by its path.
    CoreTest(&'static str),
    /// An explored machine, and how deep.
    Machine(&'static str, usize),
    /// Random scenarios of the simulator, from seed 0 on.
    Scenarios,
    /// A test of the simulator's `engine` target, by its path.
    WorldTest(&'static str),
}

/// A planted bug.
#[derive(Clone, Copy, Debug)]
pub struct Planted {
    /// Which.
    pub bug: Bug,
    /// Its name: what [`VARIABLE`] says.
    pub name: &'static str,
    /// What is wrong, in one sentence.
    pub says: &'static str,
    /// The law or clause that it breaks.
    pub law: &'static str,
    /// What finds it.
    pub hunter: Hunter,
}

macro_rules! bugs {
    ($(#[doc = $says:literal] $name:ident: $law:literal, $hunter:expr;)+) => {
        /// A bug by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Bug {
            $(#[doc = $says] $name,)+
        }

        /// Every bug, by the part of core that has it.
        pub const BUGS: &[Planted] = &[
            $(Planted { bug: Bug::$name, name: stringify!($name), says: $says, law: $law, hunter: $hunter },)+
        ];
    };
}

use Hunter::{CoreTest, Machine, Scenarios, WorldTest};

bugs! {
    // Relay, aborts, sockets.
    /// What a partial write leaves of a piece is dropped.
    PartialWriteDropped: "S1", Scenarios;
    /// FIN is passed on while bytes are queued before it.
    FinBeforeLastBytes: "S3", Scenarios;
    /// An abort is passed on as an orderly end.
    AbortAsFin: "S4", Scenarios;
    /// A connection that is half closed counts as closed.
    HalfClosedIsClosed: "S3", Scenarios;
    /// A reset after END_STREAM destroys what came before it.
    ResetAfterEndDestroys: "B6", WorldTest("ending::bytes_and_fin_come_before_a_reset_that_follows_the_end_of_the_stream");
    /// What a sender wrote before its reset is not delivered.
    LastBytesDropped: "B6", WorldTest("sweep::a_drain_ends_once_what_was_left_is_delivered");
    /// Half of what an application took gives no credit back.
    CreditLeaks: "L3", Scenarios;
    /// Credit is given back when bytes arrive, not when they were taken.
    CreditOnArrival: "R1", WorldTest("relay::a_slow_reader_holds_its_sender_back");
    /// What comes before the far end is there is delivered in reverse.
    EarlyBytesReversed: "S2", Scenarios;
    /// FIN that comes before the far end is there is lost.
    EarlyFinLost: "L3", Scenarios;
    /// Early bytes of a connection that failed count as held for ever.
    EarlyMemoryKept: "R2", Scenarios;
    /// A source that was not read for a full queue is not read again.
    ReaderNotWoken: "L3", WorldTest("relay::a_joined_connection_goes_on_where_the_driver_parts_it");
    /// A source is read however much is queued of it.
    QueueUnbounded: "R1", WorldTest("relay::a_slow_reader_holds_its_sender_back");
    /// The id of what is gone is given to what comes next.
    IdUsedAgain: "E4", CoreTest("slots::tests::a_stale_key_names_nothing");
    /// A connection that moved bytes has no timer any more.
    TimerNotRearmed: "L1", WorldTest("ending::bytes_put_off_the_idle_timers");
    /// The books count what came early twice.
    EarlyCountedTwice: "S21", Scenarios;
    /// A connection that ends while it waits is not told of.
    SilentEnd: "S21", Scenarios;
    /// A socket that is refused when it is accepted stays open.
    RefusedSocketKept: "E4", Scenarios;
    /// Outputs that are taken late come in another order.
    OutputsReordered: "E1", Scenarios;
    /// A deadline that is over is told again and again.
    DeadlineStays: "L9", Scenarios;

    // Tunnels.
    /// The verified identity of a server is not compared with the expected one.
    WrongPeerTaken: "S8", WorldTest("dial::a_wrong_server_identity_is_refused_before_a_byte_is_sent");
    /// What should have a tunnel goes in clear.
    PlaintextFallback: "S10", Scenarios;
    /// A tunnel past the end of a certificate takes new streams.
    ExpiredStillUsed: "S9", WorldTest("arrival::no_stream_is_opened_under_a_certificate_that_is_over");
    /// Tunnels under a rotated credential stay in use.
    RotationKeepsTunnels: "B3", WorldTest("arrival::a_rotated_credential_retires_tunnels_and_ends_no_connection");
    /// Tunnels to a workload that is gone stay in use.
    TunnelsOutliveWorkload: "C11", WorldTest("ending::tunnels_to_a_workload_that_is_gone_or_another_now_are_closed");
    /// Keys of tunnels are equal where a hash of them is.
    KeyByHash: "S7", Scenarios;
    /// Another pod's identity serves for a tunnel that is already there.
    IdentityNotInKey: "S7", Scenarios;
    /// A PING without an answer has no deadline.
    PeerNeverDead: "L8", WorldTest("ending::a_blackholed_tunnel_is_noticed_by_ping_though_nobody_sends");
    /// A CONNECT is made again when its tunnel is lost, though it may have been processed.
    RetryOfAny: "S17", WorldTest("abort::a_connect_that_may_have_been_processed_is_not_repeated");
    /// Trace ids come from a counter of the process.
    AmbientTrace: "M1", Scenarios;
    /// A silent peer fails one of those that wait for its answers, not all.
    TimeoutTellsOne: "B2", WorldTest("dial::on_an_open_tunnel_that_falls_silent_callers_fail_together_and_the_next_gets_a_new_one");
    /// A tunnel that was full takes no streams before it is empty.
    FullForEver: "L2", WorldTest("dial::a_tunnel_that_was_full_takes_streams_again");
    /// The end of a drain spares connections that are half closed.
    DrainSparesHalfClosed: "L7", Scenarios;
    /// A drained node does not say GOAWAY.
    DrainWithoutGoaway: "H1", WorldTest("ending::a_drained_far_node_lets_connections_end_and_says_so");
    /// A drain ends the streams of its tunnels at once.
    DrainEndsStreams: "L7", WorldTest("ending::a_drained_near_node_lets_connections_end_and_says_so");
    /// Nothing has a deadline that comes after a drain had nothing left.
    DrainDeadlineForgotten: "L7", Scenarios;
    /// Tunnels whose handshake is over count as half open for ever.
    HalfOpenLeaks: "R2", WorldTest("memory::tunnels_that_say_nothing_are_bounded_and_do_not_stop_others_for_long");
    /// A refused credential is told to nobody who waits for it.
    RefusalNotTold: "L2", WorldTest("arrival::a_refused_credential_ends_those_that_wait_for_it_at_once_and_the_next_asks_again");

    // Judging, inbound.
    /// A change of facts is not heard by connections that are still dialling.
    DiallingNotJudged: "S6", WorldTest("policy::a_change_of_policy_ends_dials_under_way_at_once");
    /// Changes of policy reach new connections only.
    LiveNotJudged: "S6", Scenarios;
    /// One that waits for a policy waits for ever.
    HeldForEver: "B5", WorldTest("policy::a_missing_policy_holds_a_new_connection_and_then_denies_it");
    /// A hold begins anew whenever facts change.
    HoldRestarts: "B5", WorldTest("policy::a_live_connection_ends_where_a_policy_stays_missing");
    /// Facts that arrive wake nobody who waits for them.
    FactsWakeNobody: "L2", WorldTest("arrival::a_connection_waits_for_the_facts_about_its_pod");
    /// Bytes of a connection move while it awaits its judgement.
    StaleBytesMove: "S6", WorldTest("sweep::a_connection_that_awaits_its_judgement_is_not_read_and_is_again_after_it");
    /// Of many connections that await their judgement the first are judged, and the rest forgotten.
    RestNotJudged: "S6", WorldTest("policy::many_live_connections_are_judged_in_budgeted_turns_and_all_end");
    /// A stream is judged under the identity of another tunnel.
    IdentityOfAnother: "S7", Scenarios;
    /// An application is shown the address of another tunnel's pod.
    AnothersAddress: "row 14", Scenarios;
    /// Pods that meet within the process are not judged.
    LocalPathUnjudged: "S5", Scenarios;

    // Streams.
    /// A stream that was reset counts as open for ever.
    StreamSlotLeaks: "R2", Scenarios;
    /// Streams whose end the peer may not know of are not counted.
    ClosingNotCounted: "S16", CoreTest("hbone::mux::tests::limit::the_peers_limit_is_kept_and_told");
    /// The window of the connection does not grow by what stalled streams hold.
    ConnectionWindowFixed: "R4", CoreTest("hbone::mux::tests::limit::ninety_nine_stalled_streams_do_not_stop_the_last");
    /// A stream that stalled under a lowered window is not looked at again.
    LoweredWindowStalls: "S15", CoreTest("hbone::mux::tests::limit::a_window_lowered_after_all_is_released_does_not_stall");
    /// A queue that was full and has drained is told to nobody.
    WritableNotTold: "L3", Scenarios;
    /// A short queue counts as drained while it is still full, and then never again.
    WritableTooLate: "L3", Scenarios;
    /// A connection that was truncated passes for one that ended in order.
    TruncationAsEnd: "A10", CoreTest("hbone::mux::tests::ending::truncation_is_no_end");

    // The pool.
    /// The failure of a dial reaches the first of its waiters only.
    FailureTellsOne: "L2", Machine("pool", 6);
    /// Room that a waiter got is given away once more.
    RoomGivenTwice: "S16", Machine("pool", 6);
    /// Whoever came last is served first.
    LastComeFirstServed: "L2", Machine("pool", 6);
    /// A tunnel that said GOAWAY is still given to newcomers.
    RetiredTakesStreams: "S16", Machine("pool", 6);
    /// Dials under way are not counted when more are wanted.
    HerdOfDials: "D10", Machine("pool", 6);

    // Policy and facts.
    /// A policy that is named and has not arrived is skipped.
    UnknownPolicySkipped: "S12", Machine("policy-hold", 4);
    /// A policy that was not understood is skipped.
    UndecodableSkipped: "S12", Machine("policy-hold", 4);
    /// A policy that allows outranks one that denies.
    AllowOutranksDeny: "S5", Machine("policy-hold", 4);
    /// "Anyone but x" allows those who show no identity.
    StrangerAllowed: "B5", CoreTest("policy::tests::attributes_mean_what_the_contract_says");
    /// Policies of a namespace are not heard of when they change.
    NamespaceUnheard: "S6", Machine("policy-hold", 4);
    /// Of several changes heard as one, the policies of the later ones are lost.
    MergeForgetsPolicies: "S13", CoreTest("mesh::snapshot::tests::changes_merge_to_what_they_were_apart");
    /// A workload that is gone is still found by its address.
    RemovedStaysIndexed: "S13", Scenarios;
    /// A workload that is gone is still chosen as an endpoint.
    RemovedStaysChosen: "C12", CoreTest("mesh::snapshot::tests::every_index_answers_as_the_facts_do");

    // Choice of endpoints.
    /// Connections that ended count as under way at their endpoint.
    LoadNeverEnds: "R2", CoreTest("balance::choice::tests::connections_under_way_are_counted_and_forgotten");
    /// However many endpoints of a service fail, all of them are ejected.
    EjectsAll: "C12", CoreTest("balance::outlier::tests::of_four_endpoints_that_fail_two_are_ejected");
    /// Ejections grow without end.
    EjectionNotBounded: "C12", CoreTest("balance::outlier::tests::ejections_grow_are_bounded_and_forgotten");
    /// The first endpoint drawn is taken, however busy it is.
    OneChoice: "L2", CoreTest("balance::choice::tests::of_two_the_one_is_taken_that_has_less_to_do");

    /// A connection is tried at one endpoint after the other, however often it failed.
    RetriedWithoutEnd: "S17", WorldTest("endpoint::a_connection_is_tried_twice_at_most");

    /// What a name was once said to mean it means for ever.
    NameServesForEver: "H11", WorldTest("name::a_name_is_resolved_once_and_again_when_its_time_is_over");

    // Identity, TLS, capture.
    /// Of two SPIFFE ids in a certificate the first is taken.
    SecondIdIgnored: "S9", CoreTest("identity::san::tests::any_other_number_of_uris_is_refused");
    /// A client of any trust domain that we know is let in.
    AnyTrustDomain: "S9", CoreTest("identity::svid::tests::a_client_of_another_trust_domain_is_refused_even_if_trusted");
    /// Chains are verified at the time at which their leaf begins.
    ValidityIgnored: "S9", CoreTest("identity::svid::tests::validity_is_judged_at_the_time_given");
    /// A leaf that may sign certificates is taken.
    SigningLeafTaken: "S9", CoreTest("identity::leaf::tests::leaf_constraints_are_checked");
    /// Lists of what was revoked are not looked at in handshakes.
    ListsIgnored: "C6", CoreTest("identity::revocation::tests::what_is_on_a_list_is_refused_and_what_is_not_is_taken");
    /// Of a chain only the leaf is looked up in the lists of what was revoked.
    LeavesOnly: "row 82", CoreTest("identity::revocation::tests::the_whole_chain_is_looked_up");
    /// Live tunnels go on whoever is trusted no longer.
    LiveSessionsKeepTrust: "C5", WorldTest("trust::streams_of_a_revoked_peer_end_at_once_at_either_end_and_others_go_on");
    /// A handshake goes by whom was trusted when it began.
    HandshakesKeepTrust: "C6", WorldTest("trust::a_list_that_comes_during_a_handshake_counts");
    /// The tunnel of a revoked peer may send its last bytes.
    RevokedDrains: "L4", WorldTest("trust::streams_of_a_revoked_peer_end_at_once_at_either_end_and_others_go_on");
    /// Fetches of credentials are not counted.
    FetchesUnbounded: "row 79", CoreTest("identity::rotation::tests::eight_are_fetched_at_a_time_and_the_most_wanted_first");
    /// A clock that jumps forward has everything fetched at once.
    StormAfterJump: "C3", CoreTest("identity::rotation::tests::a_jump_past_the_end_renews_all_soon_but_not_at_once");
    /// A source that fails is asked again at one pace for ever.
    BackoffNotDoubled: "C1", CoreTest("identity::rotation::tests::failures_double_the_wait_to_its_bound");
    /// A connection that waits for a credential waits out the back-off.
    BackoffUnbroken: "row 79", CoreTest("identity::rotation::tests::a_connection_that_waits_breaks_the_back_off_and_a_workload_that_warms_up_does_not");
    /// A certificate is renewed when it ends, not at half of its life.
    RenewedAtExpiry: "L5", CoreTest("identity::rotation::tests::renewed_at_half_of_its_life_or_up_to_a_tenth_sooner");
    /// A credential that could not be renewed is dropped though it is valid.
    FailureDropsCredential: "C1", CoreTest("identity::rotation::tests::a_failed_renewal_keeps_what_is_valid_and_is_tried_again_before_its_end");
    /// A credential that is over is handed out.
    RotationServesExpired: "S9", CoreTest("identity::rotation::tests::a_failed_renewal_keeps_what_is_valid_and_is_tried_again_before_its_end");
    /// Keys outlive the last workload of their identity.
    KeysKept: "row 80", CoreTest("identity::rotation::tests::keys_go_with_the_last_workload_and_late_answers_bring_none_back");
    /// A peer that did not agree on HTTP/2 is talked to.
    AlpnIgnored: "S9", CoreTest("tls::tests::hostile::a_peer_without_our_protocol_is_refused");
    /// A workload is reached past its waypoint.
    WaypointPassed: "S19", CoreTest("capture::outbound::tests::waypoint::a_waypoints_own_waypoint_is_not_followed");
    /// Tunnels inside one that takes no more streams go on to take them.
    InnerOutlivesOuter: "B3", WorldTest("gateway::a_gateway_that_goes_away_is_left_and_its_connections_go_on");
    /// What the facts lack is taken for absent, where it would have to be asked for.
    UnknownIsAbsent: "S10", Scenarios;
    /// A tunnel in a tunnel that nobody uses is kept while others wait for its stream.
    IdleKeepsRoom: "L3", WorldTest("gateway::an_idle_tunnel_makes_room_for_another_way_through_the_gateway");
    /// What came on a stream for the tunnel inside it gives no credit back.
    InnerCreditKept: "L3", WorldTest("gateway::much_goes_to_another_network_and_back");
    /// "Must come through the waypoint" is asked of nobody.
    WaypointNotRequired: "S19", WorldTest("waypoint::a_destination_may_require_its_waypoint");
    /// An application that wants to know who speaks to it is not told.
    HeaderOfNobody: "S7", WorldTest("waypoint::an_application_is_told_who_speaks_to_it");
    /// Whoever has a waypoint's identity is taken for it, at whatever address.
    WaypointByIdentity: "S19", CoreTest("capture::outbound::tests::waypoint::a_waypoint_reaches_what_is_behind_it_by_identity_and_address");
    /// A CONNECT may ask for any address.
    AuthorityUnchecked: "S11", CoreTest("capture::inbound::tests::a_connect_reaches_the_workload_and_nothing_else");
    /// The proxy dials its own ports.
    OwnPortDialled: "S11", CoreTest("capture::inbound::tests::a_plain_connection_reaches_the_workload_and_nothing_else");

    // The control plane.
    /// What a control plane says is gone is kept.
    RemovalsIgnored: "C8", Scenarios;
    /// A new stream does not say what is known, so that what went meanwhile is never heard of.
    VersionsForgotten: "L6", WorldTest("control::a_node_that_hears_nothing_serves_by_what_it_knows_and_catches_up_with_what_is_gone");
    /// A policy that was not understood counts for nothing.
    RejectedPolicyForgotten: "S12", WorldTest("control::hostile_facts_are_refused_or_harmless");
    /// What was not understood is acknowledged as if it had been.
    NackAsAck: "row 74", WorldTest("control::hostile_facts_are_refused_or_harmless");
    /// Workloads are known before any policy could be.
    AddressesFirst: "S14", CoreTest("xds::tests::a_node_is_ready_when_both_kinds_were_answered_and_applies_no_address_before_policies");
    /// Whatever ends a stream, the next comes at once.
    EveryEndOrderly: "row 76", CoreTest("xds::tests::waits_grow_but_not_after_an_orderly_end_of_a_stream_that_was_used");
}

static CHOSEN: OnceLock<Option<Bug>> = OnceLock::new();

/// The bug that this process has.
///
/// # Panics
///
/// [`VARIABLE`] names no bug: a run that has none in it would pass for one whose bug nobody noticed.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no other way to be told, and builds without bugs have none of this"
)]
pub fn chosen() -> Option<Bug> {
    *CHOSEN.get_or_init(|| {
        let name = env::var(VARIABLE).ok()?;
        match BUGS.iter().find(|planted| planted.name == name) {
            Some(planted) => Some(planted.bug),
            None => panic!("no planted bug is named {name:?}"),
        }
    })
}

/// Whether this process has the bug.
pub fn is(bug: Bug) -> bool {
    chosen() == Some(bug)
}

/// A hash that many share.
pub(crate) fn weak_hash(value: &impl Debug) -> u8 {
    format!("{value:?}").bytes().fold(7, |hash: u8, byte| hash.wrapping_mul(31) ^ byte) & 3
}

/// How often this process has asked: the same for no two runs in it.
pub(crate) fn count() -> u64 {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    ASKED.fetch_add(1, Ordering::Relaxed)
}
