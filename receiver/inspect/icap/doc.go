// Package icap has an ICAP server (RFC 3507) look at files, each as the answer of a web server that is about to be handed on (RESPMOD): so gateways and antivirus products take them.
//
//	OPTIONS -> ISTag (the version of its rules), Preview, Allow: 204
//	RESPMOD, the beginning of the file -> 100 Continue -> the rest -> 204: clean | 200 with what it puts in the file's place: flagged
//
// It promises that clean is the status 204, after all of the file was taken, and nothing else. A server that says it by the beginning alone has not looked at the rest: that is a limit of it, and a
// finding. Flagged is a 200 that names what was found (X-Infection-Found, X-Virus-ID, X-Violations-Found), or that refuses the file (403). Everything else is an error.
//
// It refuses servers that may not say 204: they would send each file back. Lines, headers and what stands in a file's place are bounded.
package icap
