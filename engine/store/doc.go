// Package store keeps what happened, and which bans are in force, in an SQLite
// database: the file history.db of the state directory.
//
// Nothing waits for it. What is recorded goes into a bounded queue, from which one
// goroutine writes many records in one transaction; what finds the queue full is
// dropped and counted. Packets are counted per minute, and only the latest are kept
// one by one. Several processes may have the database open at once.
//
// What is damaged is set aside under a name with the date, and a new database begun.
package store
