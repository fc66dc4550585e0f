"""What can go wrong with the local stack, each said so that the reader knows what to do next."""


class StackError(Exception):
    """The local stack cannot do what was asked; the message says why and what helps."""


def first_stack_error(error: BaseException) -> StackError | None:
    """Take one stack error out of a group of failures: the others follow from it, or say the same."""
    while isinstance(error, BaseExceptionGroup):
        error = (error.subgroup(StackError) or error).exceptions[0]
    return error if isinstance(error, StackError) else None
