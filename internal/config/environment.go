package config

import (
	"reflect"
	"slices"
	"strings"
)

// KeyVariable names the file of the key with which a person signs. It overrides no key of a configuration.
const KeyVariable = EnvPrefix + "_KEY"

// UnknownVariables lists the variables of an environment, as os.Environ gives it, that look as if they overrode a key of T and override none: of a key that is not there, or that stands in a list. The
// other side's keys are such too, where both share an environment.
func UnknownVariables[T any](environment []string) (names []string) {
	known := map[string]bool{KeyVariable: true}
	for _, key := range scalars(reflect.TypeFor[T](), "") {
		known[envName(key)] = true
	}
	for _, v := range environment {
		name, value, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, EnvPrefix+"_") && value != "" && !known[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
