package bootclock

import "testing"

func TestOnlyAWholeNameIsFound(t *testing.T) {
	need(t)
	for _, name := range []string{"__vdso_clock", "__vdso_clock_gettime_of_tomorrow", ""} {
		if found := lookUp(name); found != 0 {
			t.Errorf("%q: %x", name, found)
		}
	}
}

// Another kernel, or a sandbox, may map another image: then the function is not found.
func TestAnImageThatIsCutOrForeignGivesNothing(t *testing.T) {
	need(t)
	size, _, _ := segments(memory(vdso(), 4096))
	whole := append(image(nil), memory(vdso(), size)...)
	if function, _ := in(whole, "__vdso_clock_gettime"); function == 0 {
		t.Fatal("the whole image has it")
	}
	// A damaged image may still name the function. Then the function must begin within the image.
	look := func(part image, fault string, at int) {
		start, found := in(part, "__vdso_clock_gettime")
		if found && start >= uint64(len(part)) {
			t.Errorf("%s at %d: found at %d of %d", fault, at, start, len(part))
		}
	}
	for cut := range whole {
		look(whole[:cut], "cut", cut)
	}
	for at := 0; at < 4096 && at < len(whole); at++ {
		broken := append(image(nil), whole...)
		broken[at] ^= 0xff
		look(broken, "broken", at)
	}
	if _, found := in(image("no image"), "__vdso_clock_gettime"); found {
		t.Error("found in text")
	}
}
