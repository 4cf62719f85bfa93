//! What the control thread looks at now and then: how much room the store's disk has, and which refusals the log has left
//! out.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::preflight::ROOM_WANTED_BYTES;
use super::refusals::Refusals;
use crate::config::mebibytes_text;
use crate::store::Room;

const PERIOD: Duration = Duration::from_secs(1);
/// The disk is looked at every so many periods.
const DISK_PERIODS: u32 = 10;

/// What the metrics show. `None`: the file system does not say.
#[derive(Debug)]
pub struct RoomGauge(Mutex<Option<Room>>);

impl RoomGauge {
    /// With what there is now.
    pub fn new(store_path: &Path) -> Self {
        Self(Mutex::new(Room::of(store_path).ok()))
    }

    pub fn read(&self) -> Option<Room> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, room: Option<Room>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = room;
    }
}

/// Looks for as long as the process lives.
pub async fn watch(store_path: PathBuf, gauge: Arc<RoomGauge>, refusals: Arc<Refusals>) {
    let mut low_water = LowWater::default();
    for period in (0..DISK_PERIODS).cycle() {
        if period == 0 {
            let room = Room::of(&store_path).ok();
            gauge.publish(room);
            if let Some(room) = room {
                low_water.look(room.free_bytes).tell(&store_path, room);
            }
        }
        refusals.tell_left_out();
        tokio::time::sleep(PERIOD).await;
    }
}

/// What was said last of how little room there is.
#[derive(Debug, Default)]
struct LowWater {
    /// With so little.
    warned_bytes: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Nothing,
    Low,
    Enough,
}

impl LowWater {
    /// It is said when there is less than is wanted, whenever half of that is gone, and when there is enough again.
    fn look(&mut self, free_bytes: u64) -> Word {
        let word = match self.warned_bytes {
            None if free_bytes < ROOM_WANTED_BYTES => Word::Low,
            Some(warned) if free_bytes <= warned / 2 && warned > 0 => Word::Low,
            // Not for each table that is written and removed again.
            Some(_) if free_bytes >= ROOM_WANTED_BYTES + ROOM_WANTED_BYTES / 8 => Word::Enough,
            None | Some(_) => Word::Nothing,
        };
        match word {
            Word::Nothing => {}
            Word::Low => self.warned_bytes = Some(free_bytes),
            Word::Enough => self.warned_bytes = None,
        }
        word
    }
}

impl Word {
    fn tell(self, path: &Path, room: Room) {
        let (path, free) = (path.display(), mebibytes_text(room.free_bytes));
        match self {
            Self::Nothing => {}
            Self::Low => tracing::warn!(
                "the disk of {path} has {free} left, of {}. The relay ends at the first write that fails: make room (df -h), or \
                 move the store",
                mebibytes_text(room.total_bytes)
            ),
            Self::Enough => tracing::info!("the disk of {path} has room again: {free}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_room_is_said_once_and_again_when_half_of_it_is_gone() {
        const MIB: u64 = 1 << 20;
        let mut low_water = LowWater::default();
        for (free_mebibytes, expected) in [
            (5000, Word::Nothing),
            (1023, Word::Low),
            (1000, Word::Nothing),
            (1030, Word::Nothing),
            (512, Word::Nothing),
            (511, Word::Low),
            (255, Word::Low),
            (1100, Word::Nothing),
            (1152, Word::Enough),
            (1024, Word::Nothing),
            (0, Word::Low),
            (0, Word::Nothing),
        ] {
            let word = low_water.look(free_mebibytes * MIB);
            assert_eq!(word, expected, "{free_mebibytes}");
        }
    }
}
