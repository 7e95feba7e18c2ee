//! Compares what the client was told with what is there.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{Class, Entry};

/// What is there under one key.
#[derive(Clone, Debug)]
pub struct Stored {
    pub key: String,
    pub sha256: String,
    pub status: String,
    /// Why it failed, if it says so.
    pub reason: Option<String>,
    /// Ids of the points that its chunks should have.
    pub wanted: BTreeSet<String>,
    /// Ids of the points that there are.
    pub points: BTreeSet<String>,
}

/// Keys by what is wrong with them; all empty when nothing is.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// R1: accepted and not there.
    pub missing: Vec<String>,
    /// R2: there, and refused or never offered.
    pub phantom: Vec<String>,
    /// R3: more than one effect of one key.
    pub doubled: Vec<String>,
    /// R4: other bytes than the client sent.
    pub corrupt: Vec<String>,
    /// R5, R6: other points than the chunks have.
    pub miscounted: Vec<String>,
    /// On its way although everything came to rest.
    pub unsettled: Vec<String>,
    /// R8: failed without a reason.
    pub unexplained: Vec<String>,
}

pub fn reconcile(ledger: &[Entry], stored: &[Stored]) -> Findings {
    let mut told: BTreeMap<&str, (Class, &str)> = BTreeMap::new();
    for entry in ledger {
        let known = told
            .entry(&entry.key)
            .or_insert((entry.class, &entry.sha256));
        // The surest answer counts: a repetition may tell what the first time-out did not.
        known.0 = match (known.0, entry.class) {
            (Class::Ok, _) | (_, Class::Ok) => Class::Ok,
            (Class::Info, _) | (_, Class::Info) => Class::Info,
            (Class::Fail, Class::Fail) => Class::Fail,
        };
    }
    let mut findings = Findings::default();
    let mut seen = BTreeSet::new();
    for one in stored {
        let key = || one.key.clone();
        if !seen.insert(one.key.as_str()) {
            findings.doubled.push(key());
        }
        match told.get(one.key.as_str()) {
            None | Some((Class::Fail, _)) => findings.phantom.push(key()),
            Some((_, sha256)) if *sha256 != one.sha256 => findings.corrupt.push(key()),
            Some(_) => {}
        }
        match one.status.as_str() {
            "indexed" if one.wanted != one.points => findings.miscounted.push(key()),
            "failed" if one.reason.is_none() => findings.unexplained.push(key()),
            "indexed" | "failed" => {}
            _ => findings.unsettled.push(key()),
        }
    }
    let accepted = told.iter().filter(|(_, (class, _))| *class == Class::Ok);
    findings.missing = accepted
        .filter(|(key, _)| !seen.contains(*key))
        .map(|(key, _)| (*key).to_owned())
        .collect();
    findings
}

#[test]
fn each_kind_of_damage_is_told_apart() {
    let entry = |key: &str, class| Entry {
        key: key.to_owned(),
        sha256: "a".to_owned(),
        class,
        id: None,
    };
    let stored = |key: &str| Stored {
        key: key.to_owned(),
        sha256: "a".to_owned(),
        status: "indexed".to_owned(),
        reason: None,
        wanted: BTreeSet::from(["1".to_owned()]),
        points: BTreeSet::from(["1".to_owned()]),
    };
    let ledger = [
        entry("there", Class::Info),
        entry("there", Class::Ok),
        entry("lost", Class::Ok),
        entry("lost", Class::Info),
        entry("refused", Class::Fail),
        entry("open", Class::Info),
        entry("changed", Class::Ok),
        entry("thin", Class::Ok),
        entry("stuck", Class::Ok),
        entry("silent", Class::Ok),
    ];
    let mut there = ["there", "there", "refused", "stranger", "changed", "thin"]
        .map(stored)
        .to_vec();
    there[4].sha256 = "b".to_owned();
    there[5].points.clear();
    for (key, status) in [("stuck", "queued"), ("silent", "failed")] {
        there.push(Stored {
            status: status.to_owned(),
            ..stored(key)
        });
    }
    let list = |keys: &[&str]| keys.iter().map(|&key| key.to_owned()).collect::<Vec<_>>();
    assert_eq!(
        reconcile(&ledger, &there),
        Findings {
            missing: list(&["lost"]),
            phantom: list(&["refused", "stranger"]),
            doubled: list(&["there"]),
            corrupt: list(&["changed"]),
            miscounted: list(&["thin"]),
            unsettled: list(&["stuck"]),
            unexplained: list(&["silent"]),
        }
    );
}
