// Package clamd speaks to ClamAV's daemon over its unix socket: one session (IDSESSION) for each bundle, each file as a stream (INSTREAM), so that clamd needs no right to read the quarantine.
//
//	zIDSESSION  zVERSION -> "1: ClamAV 1.4.3/27790/Thu Oct 16 09:52:18 2025"  zINSTREAM <length><bytes> ... <0> -> "2: stream: OK" | "2: stream: NAME FOUND" | "... ERROR"
//
// It promises that nothing but the word OK, for the stream that was sent whole, is clean. An answer is at most a few kilobytes, and has the number of its question.
package clamd
