//! What it costs, to be read with `--nocapture`: nothing is asserted of time.

use super::*;
use std::time::Instant;

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "measures what the machine does, not what the simulation shows"
)]
fn speed() {
    const HANDSHAKES: u32 = 200;
    const ROUNDS: u32 = 16;
    let mut authority = authority();
    let [a, b] = [A, B].map(|id| identity(&provider(), &credential(&mut authority, id)));
    let start = Instant::now();
    for _ in 0..HANDSHAKES {
        let (mut client, mut server) = sides(1, &a, &b);
        connect(&mut client, &mut server);
    }
    let per_second = f64::from(HANDSHAKES) / start.elapsed().as_secs_f64();
    println!("{per_second:.0} handshakes/s, both sides on one core");

    let (mut client, mut server) = sides(1, &a, &b);
    connect(&mut client, &mut server);
    let data = vec![3; 1 << 20];
    let start = Instant::now();
    for _ in 0..ROUNDS {
        client.send(&data);
    }
    let sent = start.elapsed();
    let flight = std::mem::take(&mut client.out);
    let start = Instant::now();
    server.receive(&flight);
    let received = start.elapsed();
    assert_eq!(server.plain.len(), data.len() * ROUNDS as usize);
    let rate = |time: std::time::Duration| server.plain.len() as f64 / time.as_secs_f64() / 1e9;
    println!("{:.2} GB/s encrypted, {:.2} GB/s decrypted, on one core", rate(sent), rate(received));
}
