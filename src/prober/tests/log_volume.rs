//! What a simulated day of flapping leaves in the log.

use super::*;
use crate::captured_log::CapturedLog;

const HOURS: u64 = 2;

#[tokio::test(start_paused = true)]
async fn eight_targets_that_flap_leave_a_few_lines_whether_they_or_tailscaled_come_and_go() {
    let targets = "tcp://a:1,tcp://b:1,tcp://c:1,tcp://d:1,tcp://e:1,tcp://f:1,tcp://g:1,tcp://h:1";
    let settings = [("TELLTAIL_TARGETS", targets), ("TELLTAIL_INTERVAL", "1s"), ("TELLTAIL_TIMEOUT", "400ms")];
    // Long enough to rise and to fall.
    let is_good = |now: Duration| (now.as_secs() / 12).is_multiple_of(2);
    for node_flaps in [false, true] {
        let log = CapturedLog::start();
        let missing = || Err(Failure::new(Reason::NodeSocketMissing, "gone"));
        let node = move |now| if node_flaps && !is_good(now) { missing() } else { running() };
        let probe = move |_: &str, _, now| if node_flaps || is_good(now) { good() } else { refused() };
        let played = play("a-pod", &settings, node, probe, Duration::from_secs(HOURS * 60 * 60)).await;
        let outages = played.counter(r#"telltail_target_transitions_total{target="a",to="down"}"#);
        let lines = log.take_lines().len() as u64;
        println!("{lines} lines, {outages} outages of each target; tailscaled flaps: {node_flaps}");
        assert!(outages >= HOURS * 40, "{outages}: each is counted");
        // Of eight targets and of the node: a burst, and one in ten minutes.
        assert!(lines <= 9 * (32 + 6 * HOURS), "{lines}");
    }
}
