# SPDX-License-Identifier: LGPL-2.1-or-later
"""Objects and types behave as drgn's: what docs/python.md promises, on a real kernel."""

import math

import pytest

import perfcore
from perfcore import FaultError, Object, cast, container_of, offsetof, reinterpret, sizeof


@pytest.fixture
def pmu(healthy):
    return perfcore.per_cpu(healthy["cpu_hw_events"], 1)


@pytest.fixture
def event(pmu):
    return pmu.event_list[0]


def test_members_are_attributes_and_pointers_are_followed(healthy, event):
    assert event.hw.idx.value_() == 0
    assert event.type_.type_name() == "struct perf_event *"
    assert event.owner.comm.string_() == b"pmu"
    assert event.owner.comm.address_ == event.owner.address_of_()[0].value_() + offsetof(
        healthy.type("struct task_struct"), "comm")
    # Anonymous members are crossed.
    assert event.hw.config.address_ == event.hw.address_


def test_a_member_that_hides_behind_a_method_or_a_path(event):
    assert event.member_("hw").member_("state").value_() == event.hw.state.value_()
    assert event.member_("hw.state").address_ == event.hw.state.address_
    with pytest.raises(LookupError):
        event.member_("no_such_member")
    with pytest.raises(AttributeError, match="no_such_member"):
        event.no_such_member  # noqa: B018
    assert not hasattr(event, "no_such_member")


def test_dir_lists_members_and_methods(event):
    names = dir(event)
    assert {"hw", "attr", "value_", "member_"} <= set(names)


def test_references_have_addresses_and_values_have_none(event):
    assert event.address_ is not None
    assert event[0].address_ == event.value_()
    pointer = event.hw.address_of_()
    assert pointer.address_ is None
    assert pointer.type_.type_name() == "struct hw_perf_event *"
    assert pointer.value_() == event.hw.address_
    with pytest.raises(ValueError):
        pointer.address_of_()


def test_bit_fields(event):
    pinned = event.attr.pinned
    assert pinned.bit_field_size_ == 1
    assert pinned.value_() in (0, 1)
    assert repr(event.attr.precise_ip).endswith("bit_field_size=2)")
    with pytest.raises(ValueError):
        pinned.address_of_()


def test_bit_fields_agree_with_the_word_they_are_in(event):
    first = event.attr.type_.member("disabled").bit_offset
    word = int.from_bytes(event.attr.to_bytes_()[first // 8:first // 8 + 8], "little")
    for member in event.attr.type_.members:
        if member.bit_field_size is None or member.name is None:
            continue
        expected = word >> (member.bit_offset - first) & ((1 << member.bit_field_size) - 1)
        assert event.attr.member_(member.name).value_() == expected, member.name


def test_structs_are_dicts_and_arrays_are_lists(pmu, event):
    value = event.hw.value_()
    assert value["idx"] == event.hw.idx.value_()
    assert set(value) >= {"config", "last_tag", "state"}, "members of anonymous structs count as the outer one's"
    assert pmu.events.value_()[0] == event.value_()
    assert len(pmu.events.value_()) == len(pmu.events) == 64
    assert [pointer.value_() for pointer in pmu.events] == pmu.events.value_()
    assert event.owner.comm.value_()[:3] == [ord(c) for c in "pmu"]


def test_indexing_stays_in_arrays_and_goes_on_from_pointers(pmu, event):
    with pytest.raises(IndexError):
        pmu.events[64]
    with pytest.raises(IndexError):
        pmu.events[-1]
    assert event[1].address_ == event.value_() + sizeof(event[0])
    assert event[-1].address_ == event.value_() - sizeof(event[0])
    with pytest.raises(TypeError):
        event.hw.idx[0]
    with pytest.raises(TypeError):
        len(event)


def test_pointer_arithmetic_scales(event):
    size = sizeof(event[0])
    assert (event + 2).value_() == event.value_() + 2 * size
    assert (2 + event).value_() == event.value_() + 2 * size
    assert (event - 1).value_() == event.value_() - size
    assert ((event + 5) - event).value_() == 5
    assert (event + 1) > event and event == event.value_() and event != 0
    with pytest.raises(TypeError):
        event + event
    with pytest.raises(TypeError):
        event * 2


@pytest.mark.parametrize("left, right, type_name, value", [
    (("int", 3), ("long", 4), "long", 7),
    (("unsigned int", 3), ("int", -4), "unsigned int", 0xffffffff),
    (("unsigned char", 200), ("unsigned char", 100), "int", 300),
    (("long", -1), ("unsigned int", 1), "long", 0),
    (("unsigned long", 0), ("int", -1), "unsigned long", 2**64 - 1),
    (("int", 2**31 - 1), ("int", 1), "int", -2**31),
])
def test_sums_have_the_type_that_c_gives_them(healthy, left, right, type_name, value):
    result = Object(healthy, *left) + Object(healthy, *right)
    assert (result.type_.type_name(), result.value_()) == (type_name, value)


def test_other_operators(healthy):
    number = Object(healthy, "int", -7)
    assert (number / 2).value_() == -3
    assert (number % 2).value_() == -1
    assert (number >> 1).value_() == -4
    assert (number << 1).value_() == -14
    assert (~number).value_() == 6
    assert (-number).value_() == 7
    assert (number & 0xff).value_() == 0xf9
    assert (1 | Object(healthy, "int", 6)).value_() == 7
    assert (Object(healthy, "u64", 5) ^ 1).value_() == 4
    assert 10 - number == 17
    assert Object(healthy, "unsigned int", 2**32 - 1) > Object(healthy, "int", -2), "-2 becomes unsigned"
    assert Object(healthy, "long", -1) < Object(healthy, "unsigned int", 0), "unsigned int fits into long"
    with pytest.raises(ValueError):
        number / 0
    with pytest.raises(ValueError):
        number << 32
    assert (number == "7") is False
    assert [1, 2, 3][Object(healthy, "int", 1)] == 2
    assert math.floor(number) == -7 and round(number) == -7
    with pytest.raises(TypeError):
        hash(number)


def test_truth(healthy, pmu, event):
    assert event and not Object(healthy, "int", 0)
    assert not perfcore.NULL(healthy, "struct perf_event *")
    with pytest.raises(TypeError):
        bool(pmu)
    with pytest.raises(TypeError):
        int(pmu.events)


def test_null_is_read_only_when_asked(healthy):
    null = perfcore.NULL(healthy, "struct perf_event *")
    state = null.hw.state
    assert state.address_ == offsetof(healthy.type("struct perf_event"), "hw.state")
    with pytest.raises(FaultError) as raised:
        state.value_()
    assert raised.value.address == state.address_
    assert raised.value.reason


def test_made_objects(healthy, event):
    again = Object(healthy, "struct perf_event", address=event.value_())
    assert again.hw.idx == event.hw.idx
    assert Object(healthy, again.type_, address=event).address_ == event.value_()
    assert Object(healthy, "unsigned char", 0x1ff).value_() == 0xff
    assert Object(healthy, value=2**40).type_.type_name() == "long"
    for wrong in (lambda: Object(healthy, "int"), lambda: Object(healthy, "int", 1, address=1),
                  lambda: Object(healthy, address=1)):
        with pytest.raises(ValueError):
            wrong()
    with pytest.raises(TypeError):
        Object(healthy, "struct perf_event", 1)
    with pytest.raises(LookupError, match="no_such_type"):
        Object(healthy, "struct no_such_type", address=1)


def test_casts(healthy, pmu, event):
    assert cast("unsigned char", Object(healthy, "int", -1)).value_() == 255
    assert cast("long", Object(healthy, "int", -1)).value_() == -1
    assert cast("struct task_struct *", event).type_.type_name() == "struct task_struct *"
    assert cast("unsigned long", pmu.events).value_() == pmu.events.address_
    with pytest.raises(TypeError):
        cast("struct perf_event", event)
    assert reinterpret("u64 [4]", pmu.events)[0].value_() == event.value_()
    with pytest.raises(ValueError):
        reinterpret("int", event + 1)


def test_container_of(healthy, event):
    assert container_of(event.hw.address_of_(), "struct perf_event", "hw") == event
    assert container_of(event.hw.state.address_of_(), healthy.type("struct perf_event"), "hw.state") == event
    with pytest.raises(LookupError):
        container_of(event, "struct perf_event", "no_such_member")
    with pytest.raises(TypeError):
        container_of(event.hw, "struct perf_event", "hw")


def test_sizes_and_offsets(healthy, event):
    perf_event = healthy.type("struct perf_event")
    assert sizeof(perf_event) == sizeof(event[0]) == perf_event.size
    assert sizeof(event) == 8
    assert offsetof(perf_event, "hw.state") == perf_event.member("hw").offset + offsetof(
        perf_event.member("hw").type, "state")
    with pytest.raises(LookupError):
        offsetof(perf_event, "nothing")
    with pytest.raises(ValueError):
        offsetof(healthy.type("struct perf_event_attr"), "pinned")


def test_printing(healthy, pmu, event):
    assert str(event.hw.idx) == "(int)0"
    assert repr(event.hw.idx) == f"Object(prog, 'int', address={event.hw.idx.address_:#x})"
    assert repr(Object(healthy, "int", -5)) == "Object(prog, 'int', value=-5)"
    assert repr(perfcore.NULL(healthy, "void *")) == "Object(prog, 'void *', value=0x0)"
    assert str(event.state) == "(enum perf_event_state)PERF_EVENT_STATE_ACTIVE"
    assert str(event.owner.comm) == '(char [16])"pmu"'
    assert str(pmu.active_mask) == "(unsigned long [1]){ 15 }"
    assert str(pmu.assign) == "(int [64]){ 0, 1, 2, 3 }"
    assert str(event.event_entry) == ("(struct list_head){\n"
                                      f"\t.next = (struct list_head *){event.event_entry.next.value_():#x},\n"
                                      f"\t.prev = (struct list_head *){event.event_entry.prev.value_():#x},\n}}")
    text = str(event)
    assert text.startswith(f"*(struct perf_event *){event.value_():#x} = {{\n")
    assert "\n\t\t.idx = (int)0,\n" in text
    assert str(healthy["x86_pmu"].name).endswith(' = "AMD"')
    assert "(int (*)(struct pt_regs *))amd_pmu_handle_irq+0x0 = 0x" in str(healthy["x86_pmu"].handle_irq)


def test_what_was_not_read_is_said_in_its_place(broken):
    """The bundled dumps hold few pages: printing goes on around what is not in them."""
    task = perfcore.per_cpu(broken["pcpu_hot" if "pcpu_hot" in broken else "current_task"], 1)
    text = str((task.current_task if "pcpu_hot" in broken else task)[0])
    assert ".comm = (char [16])" in text


def test_pretty_printer_of_ipython(event):
    class Printer:
        out = ""

        def text(self, text):
            self.out += text

    printer = Printer()
    event.hw.idx._repr_pretty_(printer, False)
    assert printer.out == "(int)0"


def test_expressions_lead_back(healthy, event):
    assert event.hw.state.expression_ == "per_cpu(cpu_hw_events, 1).event_list[0]->hw.state"
    assert healthy.evaluate(event.hw.state.expression_).address_ == event.hw.state.address_
    assert healthy.evaluate("1 + 2 * 3").value_() == 7
    with pytest.raises(ValueError):
        healthy.evaluate("1 +")
    with pytest.raises(LookupError):
        healthy.evaluate("no_such_variable")


def test_read_copies(event):
    copy = event.hw.read_()
    assert copy.address_ is None
    assert copy.idx.address_ is None
    assert copy.idx.value_() == event.hw.idx.value_()
    assert event.hw.to_bytes_() == copy.to_bytes_()


def test_objects_of_two_kernels_do_not_mix(healthy, broken):
    with pytest.raises(ValueError):
        Object(healthy, "int", 1) + Object(broken, "int", 1)
    with pytest.raises(ValueError):
        Object(healthy, broken.type("struct perf_event"), address=0)


def test_types(healthy):
    perf_event = healthy.type("struct perf_event")
    assert (perf_event.kind, perf_event.tag, perf_event.is_complete()) == ("struct", "perf_event", True)
    assert perf_event.has_member("hw.state") and not perf_event.has_member("nothing")
    assert perf_event == healthy.type("struct perf_event") and hash(perf_event) == hash(perf_event)
    assert perf_event != healthy.type("struct list_head")
    pointer = healthy.type("struct perf_event *")
    assert (pointer.kind, pointer.size, pointer.type) == ("pointer", 8, perf_event)
    array = healthy.type("struct cpu_hw_events").member("events").type
    assert (array.kind, array.length, array.type_name()) == ("array", 64, "struct perf_event *[64]")
    assert str(healthy.type("struct list_head")) == ("struct list_head {\n\tstruct list_head *next;\n"
                                                     "\tstruct list_head *prev;\n}")
    assert repr(pointer) == "prog.type('struct perf_event *')"
    states = dict(healthy.type("enum perf_event_state").enumerators)
    assert states["PERF_EVENT_STATE_ACTIVE"] == 1 and states["PERF_EVENT_STATE_DEAD"] == -4
    u64 = healthy.type("u64")
    assert (u64.size, u64.is_signed) == (8, False)
    with pytest.raises(AttributeError):
        u64.members  # noqa: B018
