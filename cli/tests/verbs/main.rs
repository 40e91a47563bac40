//! The real command against a node agent that is a thread with a script.

#[cfg(test)]
mod fake;

#[cfg(test)]
mod asking;
#[cfg(test)]
mod ending;
#[cfg(test)]
mod examining;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod requests;
mod running;
#[cfg(test)]
mod starting;
#[cfg(test)]
mod watching;
