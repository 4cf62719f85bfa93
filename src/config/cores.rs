//! Which cores get a shard.

use super::unit::Unit;

/// The most cores, and so shards, of one relay.
const CORES_MAX: usize = 1024;

/// Which cores get a shard.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Cores {
    /// Every core that the process may run on.
    #[default]
    All,
    /// The first so many of them.
    Count(usize),
    /// These.
    List(Vec<usize>),
}

/// The machine does not give what is configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CoresError {
    #[error("{wanted} cores are asked for, and the process may run on {allowed}")]
    TooFew { wanted: usize, allowed: usize },
    #[error("the process may not run on core {}", cores_text(missing))]
    NotAllowed { missing: Vec<usize> },
}

impl Cores {
    /// The cores that get a shard, out of those that the process may run on.
    pub fn choose(&self, allowed: &[usize]) -> Result<Vec<usize>, CoresError> {
        match self {
            Self::All => Ok(allowed.to_vec()),
            Self::Count(wanted) if *wanted > allowed.len() => Err(CoresError::TooFew {
                wanted: *wanted,
                allowed: allowed.len(),
            }),
            Self::Count(wanted) => Ok(allowed[..*wanted].to_vec()),
            Self::List(cores) => {
                let absent = |core: &&usize| !allowed.contains(core);
                let missing: Vec<_> = cores.iter().filter(absent).copied().collect();
                if missing.is_empty() {
                    Ok(cores.clone())
                } else {
                    Err(CoresError::NotAllowed { missing })
                }
            }
        }
    }
}

/// Numbers with runs written as ranges: `0,2-5`.
pub(crate) fn cores_text(cores: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &core in cores {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == core => *last = core,
            Some(_) | None => runs.push((core, core)),
        }
    }
    let texts: Vec<_> = runs
        .iter()
        .map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        })
        .collect();
    texts.join(",")
}

/// `"all"`, a count, or a list.
pub(super) struct CoreSet;

impl Unit<Cores> for CoreSet {
    fn name(&self) -> &'static str {
        "cores"
    }

    fn range(&self) -> String {
        format!(
            "\"all\", a count from 1 to {CORES_MAX} as in 4, or a list of core numbers as in \"0,1\", \"2-5\", \
             \"0,2-3\", \"3-3\""
        )
    }

    fn parse(&self, text: &str) -> Result<Cores, String> {
        if text == "all" {
            return Ok(Cores::All);
        }
        if let Ok(count) = text.parse() {
            return match count {
                1..=CORES_MAX => Ok(Cores::Count(count)),
                0 => Err("a relay needs at least one core".to_owned()),
                _ => Err("it is too large".to_owned()),
            };
        }
        let mut cores = Vec::new();
        for part in text.split(',').map(str::trim) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let core = |text: &str| {
                let number = text.trim().parse().ok();
                number
                    .filter(|number| *number < CORES_MAX)
                    .ok_or_else(|| format!("{part:?} is neither a core number nor a range of them"))
            };
            let (first, last) = (core(first)?, core(last)?);
            if first > last {
                return Err(format!("the range {part:?} ends before it starts"));
            }
            for core in first..=last {
                if cores.contains(&core) {
                    return Err(format!("core {core} is in it twice"));
                }
                cores.push(core);
            }
        }
        Ok(Cores::List(cores))
    }

    fn show(&self, value: &Cores) -> String {
        match value {
            Cores::All => "all".to_owned(),
            Cores::Count(count) => count.to_string(),
            // A number alone would be a count.
            Cores::List(cores) => match cores.as_slice() {
                [core] => format!("{core}-{core}"),
                several => cores_text(several),
            },
        }
    }
}
