"""Write a recognizer as an insightface recognition pack (ONNX).

    python -m jobs.export_recognizer runs/mini/recognizer packs/mini

`insightface.model_zoo.get_model("packs/mini/recognition.onnx")` then embeds as we do; needs
`pip install 'face-factory[eval]'`.
"""

from __future__ import annotations

from pathlib import Path

from jobs._command import guarded, parser_of


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("checkpoint", help="folder of the recognizer, or starter:recognizer")
    parser.add_argument("out", type=Path, help="folder of the pack")
    arguments = parser.parse_args()

    def export() -> None:
        from factory.recognition.export_onnx import export_pack

        print("wrote", export_pack(arguments.checkpoint, arguments.out))

    guarded(export)


if __name__ == "__main__":
    main()
