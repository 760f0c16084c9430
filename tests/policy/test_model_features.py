"""What a provider's list of models says that a model can take."""

import pytest

from proxy.policy.model_features import NOTHING_SAID, ModelFeatures, read_features


@pytest.mark.parametrize(
    ("model", "supports"),
    [
        ({"supported_parameters": ["tools"]}, ModelFeatures(True, None, False, False, reasoning=False)),
        ({"supported_parameters": ["response_format"]}, ModelFeatures(False, None, True, False, reasoning=False)),
        ({"supported_parameters": ["structured_outputs"]}, ModelFeatures(False, None, True, True, reasoning=False)),
        ({"supported_parameters": ["reasoning"]}, ModelFeatures(False, None, False, False, reasoning=True)),
        (
            {"architecture": {"input_modalities": ["text", "image"]}},
            ModelFeatures(vision=True, audio=False, files=False),
        ),
        (
            {"architecture": {"input_modalities": ["text", "audio", "file"]}},
            ModelFeatures(vision=False, audio=True, files=True),
        ),
        ({"architecture": {"output_modalities": ["embeddings"]}}, ModelFeatures(text=False, embeddings=True)),
        ({"supported_parameters": [], "architecture": {"input_modalities": []}}, NOTHING_SAID),
        ({"supported_parameters": "tools", "architecture": "text"}, NOTHING_SAID),
        ({"supported_parameters": [1, None]}, NOTHING_SAID),
        ({}, NOTHING_SAID),
    ],
)
def test_what_a_list_says_of_a_model(model: dict[str, object], supports: ModelFeatures) -> None:
    assert read_features(model) == supports
