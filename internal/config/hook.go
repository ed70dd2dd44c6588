package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
)

// hook makes each value of its text, prepares entries of lists, and has a list replace its default instead of mixing with it.
func hook(from, to reflect.Value) (any, error) {
	if from.Kind() == reflect.Map && to.CanAddr() {
		if d, ok := to.Addr().Interface().(Defaulter); ok && to.IsZero() {
			d.SetDefaults()
		}
	}
	if from.Kind() == reflect.Slice && to.Kind() == reflect.Slice && to.CanSet() {
		to.SetZero()
	}
	if from.Kind() != reflect.String {
		return from.Interface(), nil
	}
	return fromText(from.String(), to.Type())
}

// fromText makes a value of type t. Other types than numbers, booleans, strings and those that read themselves pass as they are.
func fromText(text string, t reflect.Type) (any, error) {
	v := reflect.New(t)
	if u, ok := v.Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			return nil, err
		}
		return v.Elem().Interface(), nil
	}
	switch t.Kind() {
	case reflect.Bool:
		if text != "true" && text != "false" {
			return nil, fmt.Errorf("%q is neither true nor false", text)
		}
		v.Elem().SetBool(text == "true")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, t.Bits())
		if err != nil || strconv.FormatInt(n, 10) != text { // 010 would be 8 to some readers
			return nil, fmt.Errorf("%q is no whole number of this size", text)
		}
		v.Elem().SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, t.Bits())
		if err != nil || strconv.FormatUint(n, 10) != text {
			return nil, fmt.Errorf("%q is no whole number from 0 of this size", text)
		}
		v.Elem().SetUint(n)
	case reflect.Float32, reflect.Float64:
		x, err := strconv.ParseFloat(text, t.Bits())
		if err != nil || x-x != 0 {
			return nil, fmt.Errorf("%q is no number", text)
		}
		v.Elem().SetFloat(x)
	default:
		return text, nil
	}
	return v.Elem().Interface(), nil
}
