"""Which law finds which mistake?  Twenty-one mistakes that people really write, and for each the law that it breaks.

Each pitfall is wrong code, the same code fixed, and an object that the laws can check.  Here all of them are checked
from Python; `tinygrad-gpt pitfalls` lets you look for the mistakes first.

Expect: twenty-one lines, each with a law.
"""

from tinygrad_gpt import laws
from tinygrad_gpt.console import quiet_pipe
from tinygrad_gpt.study import pitfalls


def main():
    print("pitfall                law    what it is about")
    for pitfall in pitfalls.every():
        law = laws.find(pitfall.laws[0])
        try:
            law.check(pitfall.broken, "mutants")  # 100 cases, always the same; the first that fails is good enough
        except laws.LawBroken:
            print(f"{pitfall.name:<22} {law.id:<7}{law.title}")


if __name__ == "__main__":
    quiet_pipe()
    main()
