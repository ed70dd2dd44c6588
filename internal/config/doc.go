// Package config reads one strict YAML file into a struct, once.
//
// It promises that every fault of a file is told at once, each on one line with the key's path and the line in the file: unknown keys (with the key
// that was probably meant), keys given twice, values that do not parse, list entries without a name or with one that stands twice, and whatever the
// struct's own Validate finds. Environment variables ECLUSE_* override single values: ECLUSE_STATE for state, ECLUSE_DISK_RESERVE for disk.reserve; UnknownVariables names those that override nothing.
//
// It refuses what makes YAML guess: anchors, aliases, merge keys, tags, several documents, keys without a value. A value reaches its type as the text
// that stands in the file, so 0640 is octal, a tenant may be called no or 012, and 1% needs no quotes. Maps are refused too: keys that people choose
// stand in lists with name:, since the library below folds map keys to lower case.
//
// The value types here (Bytes, Rate, Percent, Size, Duration, Mode, AddrPort) read and write the forms that people type; each also serves as the
// value of a command's flag.
package config
