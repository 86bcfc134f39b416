//! Checking and repairing data directories that no broker uses.

use millrace_core::{
    env::Env as CoreEnv,
    recovery::{
        repair::{self, MetadataRepair, MissingPartition, Problem, RepairAction, RepairOptions},
        verify::{self, Finding},
    },
};
use napi::bindgen_prelude::{AsyncTask, Uint8Array};
use napi_derive::napi;

use crate::{job::Job, metadata::NativeMetadataEntry, store::uuid};

/// Something that cannot be read, or was not repaired.
#[napi(object)]
pub struct NativeFinding {
    /// The partition or file.
    pub subject: String,
    /// What is wrong and where, for people.
    pub detail: String,
}

/// What a check of a data directory found.
#[napi(object)]
pub struct NativeVerifyReport {
    /// Logs read.
    pub log_count: f64,
    /// Records in whole batches.
    pub record_count: f64,
    /// Bytes of whole batches.
    pub bytes: f64,
    /// Damage.
    pub findings: Vec<NativeFinding>,
    /// What unfinished appends left behind the ends of logs, and the next start erases: no damage.
    pub tails: Vec<NativeFinding>,
    /// Logs of which the flush journal holds records that the next start brings to their segments:
    /// not checked.
    pub journaled: Vec<NativeFinding>,
}

/// Reads every batch of a data directory that no broker uses, or of one topic of it.
#[napi(ts_return_type = "Promise<NativeVerifyReport>")]
pub fn verify_data_directory(
    data_directory: String,
    topic: Option<String>,
) -> AsyncTask<Job<NativeVerifyReport>> {
    Job::start(move || {
        let report = verify::verify_data_directory(
            &CoreEnv::system(),
            data_directory.as_ref(),
            topic.as_deref(),
        )?;
        let told = |findings: Vec<Finding>| -> Vec<NativeFinding> {
            let findings = findings.into_iter();
            findings.map(|Finding { subject, detail }| NativeFinding { subject, detail }).collect()
        };
        Ok(NativeVerifyReport {
            log_count: report.log_count as f64,
            record_count: report.record_count as f64,
            bytes: report.bytes as f64,
            findings: told(report.findings),
            tails: told(report.tails),
            journaled: told(report.journaled),
        })
    })
}

/// A topic's directory.
#[napi(object)]
pub struct NativeTopicDirectory {
    /// The topic's name; absent where no `partition.json` tells.
    pub topic: Option<String>,
    /// The topic's id.
    pub topic_id: String,
    /// Numbers of the partitions that are there, rising.
    pub partitions: Vec<u32>,
    /// Its name below `set-aside/`, if it lies there.
    pub set_aside: Option<String>,
}

/// What a data directory says about its topics.
#[napi(object)]
pub struct NativeInventory {
    /// Every entry of the metadata file; absent: it is lost or does not open.
    pub entries: Option<Vec<NativeMetadataEntry>>,
    /// Why not.
    pub problem: Option<String>,
    /// Directories of topics.
    pub directories: Vec<NativeTopicDirectory>,
}

/// Looks at what tells the topics of a data directory that no broker uses.
#[napi(ts_return_type = "Promise<NativeInventory>")]
pub fn data_directory_inventory(data_directory: String) -> AsyncTask<Job<NativeInventory>> {
    Job::start(move || {
        let found = repair::inventory(&CoreEnv::system(), data_directory.as_ref())?;
        let entries = found.entries.map(|entries| {
            let entries = entries.into_iter();
            entries
                .map(|(key, value)| NativeMetadataEntry {
                    key,
                    value: Some(Uint8Array::new(value)),
                })
                .collect()
        });
        let directories = found.directories.into_iter().map(|directory| NativeTopicDirectory {
            topic: directory.topic,
            topic_id: directory.topic_id.to_string(),
            partitions: directory.partitions,
            set_aside: directory.set_aside,
        });
        let (problem, directories) = (found.problem, directories.collect());
        Ok(NativeInventory { entries, problem, directories })
    })
}

/// A partition without a directory.
#[napi(object)]
pub struct NativeMissingPartition {
    /// Its topic's name.
    pub topic: String,
    /// Its topic's id.
    pub topic_id: String,
    /// Its number.
    pub partition: u32,
}

/// What a repair is to do beside what it finds in the logs.
#[napi(object)]
pub struct NativeRepairOptions {
    /// Only say what would be done.
    pub is_dry_run: bool,
    /// Name of the directory below `salvage/`.
    pub salvage_name: String,
    /// Names of directories below `set-aside/` that are to be served again.
    pub bring_back: Vec<String>,
    /// The metadata file gets these entries.
    pub entries: Vec<NativeMetadataEntry>,
    /// A new metadata file takes the place of the one that is lost.
    pub is_metadata_lost: bool,
    /// Partitions of known topics whose directories are missing.
    pub missing: Vec<NativeMissingPartition>,
    /// What the caller has decided, for the report.
    pub notes: Vec<NativeFinding>,
}

/// One thing that was done, or would be.
#[napi(object)]
pub struct NativeRepairAction {
    /// The partition or topic, or the file that all share.
    pub subject: String,
    /// What is wrong and what is done about it, for people.
    pub detail: String,
    /// The file concerned.
    pub file: String,
    /// First offset that is given up, where records are.
    pub from_offset: Option<f64>,
    /// First offset behind those.
    pub to_offset: Option<f64>,
    /// Position of the first byte that is cut out.
    pub position: Option<f64>,
    /// Bytes that are cut out.
    pub bytes: f64,
    /// Where they, or the file as it was, are kept.
    pub salvaged_to: Option<String>,
}

/// What a repair found and did.
#[napi(object)]
pub struct NativeRepairReport {
    /// Nothing was done, only found.
    pub is_dry_run: bool,
    /// Logs read.
    pub log_count: f64,
    /// Records in whole batches: they stay.
    pub record_count: f64,
    /// Bytes of those batches.
    pub bytes: f64,
    /// What was done, or would be, in the order in which it was.
    pub actions: Vec<NativeRepairAction>,
    /// What is wrong and was not repaired.
    pub problems: Vec<NativeFinding>,
    /// The directory that has what was cut out, and the report.
    pub salvage: Option<String>,
}

/// Repairs a data directory that no broker uses, or says what a repair would do.
#[napi(ts_return_type = "Promise<NativeRepairReport>")]
pub fn repair_data_directory(
    data_directory: String,
    options: NativeRepairOptions,
) -> napi::Result<AsyncTask<Job<NativeRepairReport>>> {
    let options = repair_options(options)?;
    Ok(Job::start(move || {
        let report = repair::repair(&CoreEnv::system(), data_directory.as_ref(), &options)?;
        let problems = report
            .problems
            .into_iter()
            .map(|Problem { subject, detail }| NativeFinding { subject, detail });
        Ok(NativeRepairReport {
            is_dry_run: report.is_dry_run,
            log_count: report.log_count as f64,
            record_count: report.record_count as f64,
            bytes: report.bytes as f64,
            actions: report.actions.into_iter().map(action).collect(),
            problems: problems.collect(),
            salvage: report.salvage,
        })
    }))
}

fn repair_options(options: NativeRepairOptions) -> napi::Result<RepairOptions> {
    let changes = options
        .entries
        .into_iter()
        .map(|entry| (entry.key, entry.value.map(|value| value.to_vec())))
        .collect();
    let missing = options.missing.into_iter().map(|missing| {
        let NativeMissingPartition { topic, topic_id, partition } = missing;
        Ok(MissingPartition { topic, topic_id: uuid(&topic_id)?, partition })
    });
    let notes = options.notes.into_iter().map(|NativeFinding { subject, detail }| RepairAction {
        subject,
        detail,
        ..RepairAction::default()
    });
    Ok(RepairOptions {
        is_dry_run: options.is_dry_run,
        salvage_name: options.salvage_name,
        bring_back: options.bring_back,
        metadata: if options.is_metadata_lost {
            MetadataRepair::Rebuild(changes)
        } else {
            MetadataRepair::Add(changes)
        },
        missing: missing.collect::<napi::Result<_>>()?,
        notes: notes.collect(),
    })
}

fn action(action: RepairAction) -> NativeRepairAction {
    NativeRepairAction {
        subject: action.subject,
        detail: action.detail,
        file: action.file,
        from_offset: action.from_offset.map(|offset| offset as f64),
        to_offset: action.to_offset.map(|offset| offset as f64),
        position: action.position.map(|position| position as f64),
        bytes: action.bytes as f64,
        salvaged_to: action.salvaged_to,
    }
}
