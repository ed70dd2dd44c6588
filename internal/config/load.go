package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
)

// EnvPrefix begins the name of every environment variable that overrides a key.
const EnvPrefix = "ECLUSE"

// maxFile bounds a configuration file: far above a thousand tenants, far below what would hurt.
const maxFile = 1 << 20

// tagName is the struct tag that names a key.
const tagName = "yaml"

// Validator is a configuration, or a part of one, that knows what contradicts itself. Validate adds every fault it finds; a fault at a path that is
// already known to be wrong is dropped, so it need not look at what was found before.
type Validator interface{ Validate(*Faults) }

// Defaulter is an entry of a list that does not begin empty: SetDefaults is called before the entry's keys are read. It has a pointer receiver.
type Defaulter interface{ SetDefaults() }

// Load reads the YAML file at path over defaults, lets the environment override it, and validates the whole. Fields of T, and of the structs and
// slices of structs within, carry the tag yaml:"key"; leaves are strings, booleans, numbers, or types with UnmarshalText. What is wrong in the file or
// the environment is an *Error; another error means that the file could not be read.
func Load[T any](path string, defaults T) (T, error) {
	data, err := read(path)
	if err != nil {
		return defaults, err
	}
	return Parse(path, data, defaults)
}

// read gives the bytes of a file.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		var cause *fs.PathError
		errors.As(err, &cause)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("open configuration %s: %w (run init, or give --config FILE)", path, cause.Err)
		}
		return nil, fmt.Errorf("open configuration %s: %w", path, cause.Err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("read configuration %s: it is larger than %d bytes", path, maxFile)
	}
	return data, nil
}

// Parse is Load for text that has been read; name stands for the file in faults.
func Parse[T any](name string, data []byte, defaults T) (T, error) {
	faults := newFaults(name)
	tree, ok := parseTree(data, reflect.TypeFor[T](), faults)
	if !ok {
		return defaults, faults.Err()
	}

	v := viper.New()
	if err := v.MergeConfigMap(tree); err != nil {
		return defaults, fmt.Errorf("read configuration %s: %w", name, err)
	}
	for _, key := range scalars(reflect.TypeFor[T](), "") {
		variable := envName(key)
		if err := v.BindEnv(key, variable); err != nil {
			return defaults, fmt.Errorf("bind %s: %w", variable, err)
		}
		if os.Getenv(variable) != "" {
			faults.override(key, variable)
		}
	}
	out := defaults
	err := v.UnmarshalExact(&out, func(c *mapstructure.DecoderConfig) {
		c.TagName = tagName
		c.WeaklyTypedInput = false
		c.DecodeHook = hook
	})
	if err != nil && !faults.addDecode(err) {
		return defaults, fmt.Errorf("read configuration %s: %w", name, err)
	}
	if c, ok := any(&out).(Validator); ok {
		c.Validate(faults)
	}
	if err := faults.Err(); err != nil {
		return defaults, err
	}
	return out, nil
}

// envName gives the variable that overrides a key: disk.reserve is ECLUSE_DISK_RESERVE.
func envName(key string) string {
	return EnvPrefix + "_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// scalars lists the keys of t that hold one value and stand in no list.
func scalars(t reflect.Type, prefix string) (keys []string) {
	for _, f := range fieldsOf(t) {
		switch {
		case textual(f.Type):
			keys = append(keys, prefix+f.key)
		case f.Type.Kind() == reflect.Struct:
			keys = append(keys, scalars(f.Type, prefix+f.key+".")...)
		case f.Type.Kind() != reflect.Slice:
			keys = append(keys, prefix+f.key)
		}
	}
	return keys
}
