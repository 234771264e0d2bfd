use super::*;

const NOW: i64 = 1_795_358_522_000_000;

fn pod(name: &str) -> Pod {
    Pod {
        name: name.to_owned(),
        since: Some(NOW - 5_000_000),
        ready: true,
    }
}

fn deployment(name: &str, desired: u32, ready: u32) -> Deployment {
    Deployment {
        name: name.to_owned(),
        desired,
        ready,
        ..Deployment::default()
    }
}

fn worker(queue: &str, desired: u32, ready: u32) -> Deployment {
    Deployment {
        worker: true,
        queue: Some(queue.to_owned()),
        ..deployment(&format!("worker-{queue}"), desired, ready)
    }
}

/// A night as the watcher goes through it: readings in, lines out.
struct Story {
    before: Before,
    known: Vec<PhaseLine>,
    now: i64,
}

impl Story {
    fn new() -> Self {
        Self {
            before: Before::default(),
            known: Vec::new(),
            now: NOW,
        }
    }

    fn sees(&mut self, pods: Vec<Pod>, deployments: Vec<Deployment>) -> &mut Self {
        self.reads(&Reading {
            namespace: "om".to_owned(),
            pods,
            deployments,
            whole: true,
            knows: Knows {
                catalogue: false,
                workers: true,
            },
            ..Reading::default()
        })
    }

    fn reads(&mut self, reading: &Reading) -> &mut Self {
        self.now += 1_000_000;
        if !is_closed(&self.known) {
            self.before.learn(reading);
        }
        for line in phases(reading, &self.before, &self.known, self.now) {
            self.known.retain(|l| l.phase != line.phase);
            self.known.push(line);
        }
        self
    }

    fn tick(&mut self, phase: Phase, state: PhaseState, evidence: &str) -> &mut Self {
        self.known.retain(|l| l.phase != phase);
        self.known.push(PhaseLine {
            phase,
            state,
            since: Some(self.now),
            took: None,
            evidence: evidence.to_owned(),
            per_mille: None,
        });
        self
    }

    #[track_caller]
    fn stands(&mut self, phase: Phase, state: PhaseState, evidence: &str) -> &mut Self {
        let line = self.known.iter().find(|l| l.phase == phase).unwrap();
        assert_eq!(
            (line.state, line.evidence.as_str()),
            (state, evidence),
            "{}",
            phase.name()
        );
        self
    }

    fn line(&self, phase: Phase) -> &PhaseLine {
        self.known.iter().find(|l| l.phase == phase).unwrap()
    }
}

#[test]
fn a_status_that_still_counts_pods_that_are_gone_brings_no_service_back() {
    use Phase::{PodsDown, Ready, Services};
    use PhaseState::{Done, Waiting};
    let mut story = Story::new();
    story
        .sees(vec![pod("web-1")], vec![deployment("web", 1, 1)])
        .sees(vec![pod("web-1")], vec![deployment("web", 0, 1)])
        // The list of pods is a moment ahead.
        .sees(vec![], vec![deployment("web", 0, 1)])
        .stands(PodsDown, Done, "0 of 1 running")
        .stands(Services, Waiting, "1 deployments, none started")
        .sees(vec![], vec![deployment("web", 0, 0)])
        .stands(Services, Waiting, "1 deployments, none started");
    assert!(story.known.iter().all(|l| l.phase != Ready), "nobody beat anybody");
}

#[test]
fn a_night_goes_down_and_comes_back() {
    use Phase::{PodsDown, Ready, Services, Workers};
    use PhaseState::{Done, Running, Waiting};
    let mut story = Story::new();
    let up = || vec![deployment("web", 2, 2), deployment("api", 1, 1)];
    story
        .sees(vec![pod("web-1"), pod("web-2"), pod("api-1")], up())
        .stands(PodsDown, Waiting, "3 running")
        .stands(Services, Waiting, "2 of 2 deployments ready, before the shutdown")
        .sees(
            vec![pod("web-2"), pod("api-1")],
            vec![deployment("web", 0, 1), deployment("api", 1, 1)],
        )
        .stands(PodsDown, Running, "2 of 3 running: web-2, api-1")
        .sees(vec![], vec![deployment("web", 0, 0), deployment("api", 0, 0)])
        .stands(PodsDown, Done, "0 of 3 running")
        .stands(Services, Waiting, "2 deployments, none started");
    assert_eq!(story.line(PodsDown).took, Some(1_000_000));
    story
        .tick(Ready, Done, "by hand, sam: go")
        .sees(
            vec![pod("web-3")],
            vec![deployment("web", 2, 1), deployment("api", 0, 0)],
        )
        .stands(PodsDown, Done, "0 of 3 running")
        .stands(
            Services,
            Running,
            "0 of 2 deployments ready: web 1 of 2, api scaled to 0",
        )
        .sees(vec![pod("web-3"), pod("web-4"), pod("api-2")], up())
        .stands(Services, Done, "2 of 2 deployments ready")
        .stands(Workers, Waiting, "");
    // One that goes away afterwards is news.
    story
        .sees(
            vec![pod("web-3"), pod("api-2")],
            vec![deployment("web", 2, 1), deployment("api", 1, 1)],
        )
        .stands(Services, Running, "1 of 2 deployments ready: web 1 of 2");
}

#[test]
fn a_pod_that_is_up_during_the_restore_is_named_and_so_is_who_beat_the_go() {
    use Phase::{PodsDown, Ready};
    use PhaseState::{Done, Failed};
    let mut story = Story::new();
    story
        .sees(vec![pod("web-1")], vec![deployment("web", 1, 1)])
        .sees(vec![], vec![deployment("web", 0, 0)])
        .sees(vec![pod("web-7")], vec![deployment("web", 0, 0)]);
    let since = time::clock(NOW - 5_000_000);
    story.stands(
        PodsDown,
        Failed,
        &format!("web-7 (since {since}) is up during the restore"),
    );
    assert!(!story.known.iter().any(|l| l.phase == Ready));
    let began = time::clock(story.now);
    story
        .sees(vec![], vec![deployment("web", 0, 0)])
        .stands(PodsDown, Done, &format!("0 of 1 running; some were up from {began} on"))
        .sees(vec![pod("web-8")], vec![deployment("web", 1, 1)]);
    let at = time::clock(story.now);
    story.stands(
        Ready,
        Failed,
        &format!("services came up before anybody said go, {at}: web (1 ready)"),
    );
    // It is said once, with the time at which it was first seen.
    story.sees(vec![pod("web-8"), pod("web-9")], vec![deployment("web", 2, 2)]);
    assert!(story.line(Ready).evidence.contains(&at));
    story
        .tick(Ready, Done, "by hand, sam: they are up anyway")
        .sees(vec![pod("web-8")], vec![deployment("web", 1, 1)]);
    assert_eq!(story.line(PodsDown).state, Done);
}

#[test]
fn an_empty_namespace_is_no_shutdown() {
    let mut story = Story::new();
    story.sees(vec![], vec![]).stands(
        Phase::PodsDown,
        PhaseState::Waiting,
        "namespace om has neither pods nor deployments: is it the right one?",
    );
    // Deployments without pods are one, whoever scaled them down before anybody watched.
    story
        .sees(vec![], vec![deployment("web", 0, 0)])
        .stands(Phase::PodsDown, PhaseState::Done, "0 running");
}

#[test]
fn what_is_not_whole_says_nothing_and_what_is_ticked_by_hand_stays() {
    let mut story = Story::new();
    story.reads(&Reading::default());
    assert!(story.known.is_empty());
    story
        .sees(vec![], vec![deployment("web", 0, 0)])
        .tick(Phase::Services, PhaseState::Done, "by hand, ana: enough of them")
        .sees(vec![], vec![deployment("web", 0, 0), deployment("api", 0, 0)])
        .stands(Phase::Services, PhaseState::Done, "by hand, ana: enough of them")
        .tick(Phase::PodsDown, PhaseState::Done, "by hand, ana: all off")
        .sees(vec![pod("web-1")], vec![deployment("web", 0, 0)]);
    assert_eq!(story.line(Phase::PodsDown).state, PhaseState::Failed);
}

#[test]
fn queues_and_workers_are_held_against_each_other() {
    use PhaseState::{Done, Running, Waiting};
    let mut story = Story::new();
    let queue = |name: &str, deleted| Queue {
        name: name.to_owned(),
        deleted,
    };
    let mut reading = Reading {
        whole: true,
        pods: vec![],
        deployments: vec![deployment("web", 0, 0), worker("a", 0, 0), worker("b", 0, 0)],
        queues: Some(Ok(vec![queue("a", false), queue("b", false), queue("old", true)])),
        knows: Knows {
            catalogue: true,
            workers: true,
        },
        probe: Some(Err("503 Service Unavailable".to_owned())),
        ..Reading::default()
    };
    story.reads(&reading).stands(
        Phase::Workers,
        Waiting,
        "2 queues; queue old deleted after T, and there again",
    );
    story.tick(Phase::Ready, Done, "by hand, sam: go");
    let cache = Deployment {
        catalogue: true,
        ..deployment("catalogue", 1, 1)
    };
    reading.deployments = vec![
        cache,
        worker("a", 2, 1),
        worker("old", 1, 1),
        worker("new", 1, 1),
        deployment("web", 1, 1),
    ];
    story.reads(&reading).stands(
        Phase::Workers,
        Running,
        "2 queues, 2 of 3 workers ready: worker-a 1 of 2; queue b without a worker; worker worker-old serves queue old, deleted \
         after T; worker worker-new serves queue new, which the restored database lacks",
    );
    story.stands(
        Phase::Catalogue,
        Running,
        "1 of 1 catalogue deployments ready; the probe: 503 Service Unavailable",
    );
    reading.deployments = vec![reading.deployments[0].clone(), worker("a", 2, 2), worker("b", 1, 1)];
    reading.probe = Some(Ok(()));
    story
        .reads(&reading)
        .stands(Phase::Workers, Done, "2 queues, 2 of 2 workers ready")
        .stands(
            Phase::Catalogue,
            Done,
            "1 of 1 catalogue deployments ready; the probe says loaded",
        );
}

#[test]
fn selectors_are_labels_with_or_without_their_value() {
    let labels = |pairs: &[(&str, &str)]| {
        let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        pairs.iter().map(own).collect::<BTreeMap<_, _>>()
    };
    let selector = Selector::parse("app=kafka, tier").unwrap();
    assert!(selector.fits(&labels(&[("app", "kafka"), ("tier", "x")])));
    assert!(!selector.fits(&labels(&[("app", "kafka")])));
    assert!(!selector.fits(&labels(&[("app", "web"), ("tier", "x")])));
    assert_eq!(Selector::parse("app==kafka"), Selector::parse("app=kafka"));
    for wrong in ["", "app!=x", "app in (a, b)", "a=b=c", "=x"] {
        assert_eq!(Selector::parse(wrong), None, "{wrong}");
    }
}
