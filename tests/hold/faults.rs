//! Brokers that err, with librdkafka's own mock of a cluster, under the follower and the rescue.
//!
//! The mock hands errors out in the order in which they were given to it. So each row of errors that pass ends in one that
//! does not: where that one is told, those before it were handed out, and outlived.

use crate::rescue::in_file;
use crate::world::World;
use RDKafkaRespErr::{
    RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE as NO_LEADER, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION as NOT_LEADER,
    RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE as OUT_OF_RANGE, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT as TIMED_OUT,
    RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED as FORBIDDEN,
};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use restitch::config::{HoldConfig, Overrides, Surroundings, load_in};
use restitch::domain::Result;
use restitch::restore::hold::follow::{Beside, Follower};
use restitch::restore::hold::rescue::{self, Progress, Rescue};
use restitch::restore::hold::status::silent;
use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

type Cluster = MockCluster<'static, DefaultProducerContext>;

const LIMIT: Duration = Duration::from_mins(1);
const NEVER: &dyn Fn() -> bool = &|| false;

/// So many brokers, and a topic of one partition, led by the first.
fn cluster(brokers: i32, messages: usize) -> Cluster {
    let cluster = MockCluster::new(brokers).unwrap();
    cluster.create_topic("held", 1, brokers).unwrap();
    cluster.partition_leader("held", 0, Some(1)).unwrap();
    send(&cluster, messages);
    cluster
}

fn send(cluster: &Cluster, messages: usize) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .create()
        .unwrap();
    for n in 0..messages {
        let text = n.to_string();
        let record = BaseRecord::<str, str>::to("held")
            .partition(0)
            .key(&text)
            .payload(&text);
        producer.send(record).map_err(|(e, _)| e).unwrap();
        // One batch each, so that errors find fetches to befall.
        producer.flush(LIMIT).unwrap();
    }
}

fn hold(cluster: &Cluster) -> HoldConfig {
    let world = World::at("held", &cluster.bootstrap_servers(), "");
    let overrides = Overrides {
        config: Some(world.night.path("restitch.toml")),
        ..Overrides::default()
    };
    load_in(&overrides, &Surroundings::default()).unwrap().hold.unwrap()
}

/// Follows until all that was there when last asked is read; the offsets that came.
fn follow(follower: &mut Follower) -> Result<Vec<i64>> {
    let mut came = Vec::new();
    let done = follower.follow_each(LIMIT, true, &mut |_, offset, _| came.push(offset));
    done.map(|()| came)
}

#[test]
fn what_passes_by_itself_is_waited_for_and_what_does_not_is_said() {
    let cluster = cluster(1, 30);
    let mut follower = Follower::open(&hold(&cluster), None).unwrap();
    cluster.request_errors(
        RDKafkaApiKey::ListOffsets,
        &[NOT_LEADER, TIMED_OUT, NO_LEADER, FORBIDDEN],
    );
    let told = loop {
        // Errors that come while it asks for the end do not touch what it asked of the beginning.
        if let Err(error) = follower.ask(NEVER) {
            break error;
        }
    };
    assert!(
        told.what.contains("the broker refuses") && told.what.contains("uthorization"),
        "{told}"
    );
    follower.ask(NEVER).unwrap();
    cluster.request_errors(
        RDKafkaApiKey::Fetch,
        &[NOT_LEADER, OUT_OF_RANGE, NO_LEADER, OUT_OF_RANGE, FORBIDDEN],
    );
    let mut came = Vec::new();
    let told = follower.follow_each(LIMIT, true, &mut |_, offset, _| came.push(offset));
    let told = told.unwrap_err();
    assert!(
        told.what.contains("the broker refuses") && told.what.contains("uthorization"),
        "{told}"
    );
    came.extend(follow(&mut follower).unwrap());
    assert_eq!(came, (0..30).collect::<Vec<i64>>(), "each message once, in order");
    let reading = follower.reading(&Beside::default());
    assert_eq!((reading.clock().held, reading.clock().lost), (30, 0));
    assert!(
        reading.keeping.notes[0].contains("settings cannot be read"),
        "{:?}",
        reading.keeping
    );
}

#[test]
fn brokers_that_do_not_answer_leave_the_last_known_deadline_and_are_followed_again() {
    let cluster = cluster(1, 3);
    let mut follower = Follower::open(&hold(&cluster), None).unwrap();
    follower.ask(NEVER).unwrap();
    follow(&mut follower).unwrap();
    let known = follower.reading(&Beside::default());
    let deadline = known.clock().loss_from;
    assert!(deadline.is_some());
    cluster.broker_down(-1).unwrap();
    let error = follower.ask(NEVER).unwrap_err();
    assert!(error.what.contains("no broker answers within 10 s"), "{error}");
    let shown = silent(known, 7, &error);
    assert_eq!((shown.silent_since, shown.clock().loss_from), (Some(7), deadline));
    assert!(shown.head().contains("BROKERS SILENT"), "{}", shown.head());
    // Still silent later: the silence began when it began.
    assert_eq!(silent(shown, 9, &error).silent_since, Some(7));
    cluster.broker_up(-1).unwrap();
    send(&cluster, 2);
    follower.ask(NEVER).unwrap();
    assert_eq!(follow(&mut follower).unwrap(), [3, 4]);
    let reading = follower.reading(&Beside::default());
    assert_eq!((reading.silent_since, reading.clock().held), (None, 5));
    assert_eq!(reading.clock().loss_from, deadline);
}

#[test]
fn another_leader_goes_on_where_the_last_one_was() {
    let cluster = cluster(2, 3);
    let mut follower = Follower::open(&hold(&cluster), None).unwrap();
    follower.ask(NEVER).unwrap();
    assert_eq!(follow(&mut follower).unwrap(), [0, 1, 2]);
    cluster.partition_leader("held", 0, Some(2)).unwrap();
    // What comes now can only come from the new one.
    cluster.broker_down(1).unwrap();
    send(&cluster, 3);
    follower.ask(NEVER).unwrap();
    assert_eq!(follow(&mut follower).unwrap(), [3, 4, 5]);
}

/// Copies; `at` hears before each step how much is safe.
fn copy(cluster: &Cluster, out: &Path, at: &dyn Fn(u64)) -> Result<Rescue> {
    let safe = Cell::new(0);
    let step = || {
        at(safe.get());
        false
    };
    let mut tell = |_: &_, progress: &Progress| {
        safe.set(progress.safe);
        Ok(())
    };
    rescue::run(&hold(cluster), "held", out, false, &step, &mut tell)
}

#[test]
fn a_rescue_outlives_what_passes_and_goes_on_after_what_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("held.rescue");
    let cluster = cluster(1, 50);
    cluster.request_errors(RDKafkaApiKey::ListOffsets, &[NOT_LEADER, TIMED_OUT, FORBIDDEN]);
    let told = copy(&cluster, &out, &|_| {}).unwrap_err();
    assert!(told.what.contains("uthorization"), "{told}");
    cluster.request_errors(
        RDKafkaApiKey::Fetch,
        &[NOT_LEADER, OUT_OF_RANGE, TIMED_OUT, OUT_OF_RANGE, FORBIDDEN],
    );
    let told = copy(&cluster, &out, &|_| {}).unwrap_err();
    assert!(told.what.contains("uthorization"), "{told}");
    let done = copy(&cluster, &out, &|_| {}).unwrap();
    assert!(done.is_complete(), "{:?}", done.partitions);
    let offsets: Vec<i64> = in_file(&out).iter().map(|m| m.offset).collect();
    assert_eq!(offsets, (0..50).collect::<Vec<i64>>());
}

#[test]
fn a_rescue_waits_for_another_leader() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("held.rescue");
    let cluster = cluster(2, 200);
    // A fetch takes so long that the leader goes in the middle.
    cluster.broker_round_trip_time(1, Duration::from_millis(300)).unwrap();
    let (steps, since) = (Cell::new(0), Instant::now());
    let done = copy(&cluster, &out, &|_| {
        steps.set(steps.get() + 1);
        if steps.get() == 2 {
            cluster.broker_down(1).unwrap();
        }
        if steps.get() > 2 && since.elapsed() > Duration::from_secs(2) {
            cluster.partition_leader("held", 0, Some(2)).unwrap();
        }
    })
    .unwrap();
    assert!(
        since.elapsed() > Duration::from_secs(2),
        "nothing came from the first leader alone"
    );
    assert!(done.is_complete(), "{:?}", done.partitions);
    assert_eq!(in_file(&out).len(), 200);
}
