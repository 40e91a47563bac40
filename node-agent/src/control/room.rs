//! How many conversations go on at once, and whose: nobody takes the place that another needs, and root
//! always finds one.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

/// Places for one user, or for one scope.
const EACH: usize = 16;
/// Places for all users and scopes together. Root outside any scope is not counted among them.
const OTHERS: usize = 192;

/// Who talks, as far as places go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    /// Root, outside any scope.
    Root,
    /// Another user, outside any scope.
    User(u32),
    /// A scope, whoever's it is: what runs in it is not trusted with its user's places.
    Scope(u32),
}

impl Who {
    pub(super) fn of(uid: u32, scope: Option<u32>) -> Self {
        match (scope, uid) {
            (Some(scope), _) => Self::Scope(scope),
            (None, 0) => Self::Root,
            (None, uid) => Self::User(uid),
        }
    }
}

/// The places that are taken.
#[derive(Debug, Default)]
pub(super) struct Room(RefCell<BTreeMap<Who, usize>>);

/// One place, free again when this is dropped.
pub(super) struct Place {
    room: Rc<Room>,
    who: Who,
}

impl Room {
    /// A place for `who`, if there is one.
    pub(super) fn enter(room: &Rc<Self>, who: Who) -> Option<Place> {
        let mut taken = room.0.borrow_mut();
        if who != Who::Root {
            let by_others: usize = taken
                .iter()
                .filter(|(who, _)| **who != Who::Root)
                .map(|(_, count)| count)
                .sum();
            let own = taken.get(&who).copied().unwrap_or(0);
            if own >= EACH || by_others >= OTHERS {
                return None;
            }
        }
        *taken.entry(who).or_insert(0) += 1;
        Some(Place {
            room: Rc::clone(room),
            who,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.room.0.borrow_mut();
        if let Some(count) = taken.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(room: &Rc<Room>, who: Who, count: usize) -> Vec<Place> {
        (0..count).map_while(|_| Room::enter(room, who)).collect()
    }

    #[test]
    fn a_silent_scope_takes_its_own_places_and_nobody_elses() {
        let room = Rc::new(Room::default());
        let scope = enter(&room, Who::of(0, Some(7)), 1000);
        assert_eq!(scope.len(), EACH);
        assert_eq!(enter(&room, Who::of(1000, None), 1).len(), 1);
        drop(scope);
        assert_eq!(enter(&room, Who::of(0, Some(7)), 1).len(), 1);
    }

    #[test]
    fn root_finds_a_place_when_everybody_else_has_taken_theirs() {
        let room = Rc::new(Room::default());
        let others: Vec<Place> = (1..100)
            .flat_map(|uid| enter(&room, Who::of(uid, None), EACH))
            .collect();
        assert_eq!(others.len(), OTHERS);
        assert!(Room::enter(&room, Who::of(200, None)).is_none());
        assert_eq!(enter(&room, Who::of(0, None), 50).len(), 50);
    }
}
