// Package keys holds what each side proves itself with and what it believes of others: the sender's identity, the receiver's key pair,
// the .pair files that people carry between them, allowed_signers, and the files of people who sign decisions and content.
//
//	low side                                                    high side
//	sender_ed25519   OpenSSH's key file, or in an agent         receiver.key   ML-KEM-768 + X25519 (HPKE)
//	sender.pair      name, Ed25519 key, epoch  --- carried -->  allowed_signers
//	receiver.pair    <--- carried ------------  name, KEM key   receiver.pair
//	                                            officers        who decides; and who signs content, where a policy names a file
//
// It promises that what it signs and what it believes is what stock ssh-keygen verifies and believes, or less; that a key file is never
// overwritten, and is durable when the call returns; and that a file of trust is taken whole or not at all, with every bad line named.
//
// It refuses a sender's key that is not ssh-ed25519 (people's are of any kind that ssh-keygen signs with), Ed25519 keys that are no point of the curve in its one
// encoding or of small order (anyone can make a signature that verifies under those), private files that others may read, one key under two names, and any text
// that departs from its one form.
//
// It keeps SPEC.md rules S-3 (who is enrolled), S-6 and G-2, and D-4 for who is an officer. It does not know which sender may use which tenant, nor what time it is.
package keys
